package server

import (
	"context"
	"net"
	"sync"

	"github.com/sluiceml/sluice/server/auth"
)

// limitListener closes connections beyond a number at once. golang.org/x/net/netutil lets them wait in the kernel's
// queue instead, where an honest client cannot tell a full server from a slow one and times out; a closed connection
// makes it try another address.
type limitListener struct {
	net.Listener

	guard *auth.Guard // counts refusals; nil: nobody does
	slots chan struct{}
}

// limitConnections bounds the open connections of a listener; 0: no bound.
func limitConnections(listener net.Listener, limit int, guard *auth.Guard) net.Listener {
	if limit <= 0 {
		return listener
	}
	return &limitListener{Listener: listener, guard: guard, slots: make(chan struct{}, limit)}
}

// Accept implements net.Listener.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			_ = conn.Close() // nothing was written to it
			if l.guard != nil {
				l.guard.Refuse(context.Background(), auth.ReasonTooManyConnections)
			}
		}
	}
}

// limitedConn gives its slot back when it is closed.
type limitedConn struct {
	net.Conn

	release func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

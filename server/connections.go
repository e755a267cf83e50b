package server

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"github.com/sluiceml/sluice/server/auth"
)

// limitListener closes connections beyond a number at once. golang.org/x/net/netutil lets them wait in the kernel's
// queue instead, where an honest client cannot tell a full server from a slow one and times out; a closed connection
// makes it try another address.
type limitListener struct {
	net.Listener

	guard *auth.Guard   // counts refusals; nil: nobody does
	most  *atomic.Int64 // 0: no bound
	open  atomic.Int64
}

// LimitConnections bounds the open connections of a listener by a number that may change; 0: no bound. Connections that are
// open stay, whatever it becomes. The guard, if there is one, counts those that are closed at once.
func LimitConnections(listener net.Listener, most *atomic.Int64, guard *auth.Guard) net.Listener {
	return &limitListener{Listener: listener, guard: guard, most: most}
}

// Accept implements net.Listener.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if most := l.most.Load(); most <= 0 || l.open.Load() < most { // Accept alone adds, in one goroutine
			l.open.Add(1)
			return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		_ = conn.Close() // nothing was written to it
		if l.guard != nil {
			l.guard.Refuse(context.Background(), auth.ReasonTooManyConnections)
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

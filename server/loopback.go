package server

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc/test/bufconn"

	"github.com/sluiceml/sluice/server/handshake"
)

// loopbackBytes is what a connection of the loopback holds in each direction before its writer waits.
const loopbackBytes = 256 << 10

// Loopback is how other listeners of the process call the server: through gRPC, in memory, so that whatever holds for a
// gRPC call (rights, quotas, deadlines, the drain, its span, its line in the log) holds for theirs.
type Loopback struct {
	buffers *bufconn.Listener
	addr    net.Addr
}

// NewLoopback makes a loopback for the calls that come by a listener with the address addr, which their spans name as the server's.
// Serve it with ServeLoopback.
func NewLoopback(addr net.Addr) *Loopback {
	return &Loopback{buffers: bufconn.Listen(loopbackBytes), addr: addr}
}

// Dial makes a connection. It waits until the server takes it.
func (l *Loopback) Dial(ctx context.Context) (net.Conn, error) {
	return l.buffers.DialContext(ctx)
}

// ServeLoopback takes calls from a loopback, which it closes, until Shutdown or Stop. They need no TLS and do not count
// for MaxConnections.
func (s *Server) ServeLoopback(l *Loopback) error {
	if err := s.serve(localListener{Listener: l.buffers, addr: l.addr}); err != nil {
		return fmt.Errorf("serve the loopback: %w", err)
	}
	return nil
}

type localListener struct {
	net.Listener

	addr net.Addr // of its connections
}

// Accept implements net.Listener.
func (l localListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &handshake.Local{Conn: conn, Addr: l.addr}, nil
}

package handshake

import (
	"context"
	"net"
	"net/netip"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
)

// IdentityHeader is the metadata in which a connection of the process's own says whose certificate its caller has shown.
// On any other connection it says nothing.
const IdentityHeader = "sluice-verified-identity"

// PeerHeader is the metadata in which a connection of the process's own says the address that its caller has, as host:port.
// On any other connection it says nothing.
const PeerHeader = "sluice-peer-address"

// WithCaller is the context of a call with this header whose peer is its caller: on a connection of the process's own, the
// client of the listener that the call came by.
func (c *Connection) WithCaller(ctx context.Context, header func(name string) []string) context.Context {
	p, ok := peer.FromContext(ctx)
	if !ok || c == nil || !c.local {
		return ctx
	}
	said := header(PeerHeader)
	if len(said) != 1 {
		return ctx
	}
	address, err := netip.ParseAddrPort(said[0])
	if err != nil {
		return ctx
	}
	caller := *p
	caller.Addr = net.TCPAddrFromAddrPort(address)
	return peer.NewContext(ctx, &caller)
}

// Local is a connection from within the process: calls of the HTTP listener that go on through gRPC. All its callers
// share it, so that it needs no TLS, is not closed for the refusals of one of them, and has no identity of its own.
type Local struct {
	net.Conn

	Addr net.Addr // of the listener that its calls came by
}

// LocalAddr implements net.Conn.
func (l *Local) LocalAddr() net.Addr { return l.Addr }

// TakeLocal wraps the transport credentials of a server so that they let a *Local through.
func TakeLocal(inner credentials.TransportCredentials) credentials.TransportCredentials {
	return &local{TransportCredentials: inner}
}

type local struct {
	credentials.TransportCredentials
}

// ServerHandshake implements credentials.TransportCredentials.
func (l *local) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if _, ok := raw.(*Local); ok {
		return insecure.NewCredentials().ServerHandshake(raw)
	}
	return l.TransportCredentials.ServerHandshake(raw)
}

// Clone implements credentials.TransportCredentials.
func (l *local) Clone() credentials.TransportCredentials {
	return &local{TransportCredentials: l.TransportCredentials.Clone()}
}

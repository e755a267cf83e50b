package handshake

import (
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// IdentityHeader is the metadata in which a connection of the process's own says whose certificate its caller has shown.
// On any other connection it says nothing.
const IdentityHeader = "sluice-verified-identity"

// Local is a connection from within the process: calls of the HTTP listener that go on through gRPC. All its callers
// share it, so that it needs no TLS, is not closed for the refusals of one of them, and has no identity of its own.
type Local struct{ net.Conn }

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

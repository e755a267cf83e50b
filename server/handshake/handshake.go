// Package handshake watches connections being made: it counts those that fail by the reason, reads the identity that a
// certificate proves once for all calls, and closes a connection that only collects refusals.
package handshake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/sluiceml/sluice/server/auth"
)

// maxRefusals is how many calls of one connection are refused before it is closed. Each costs the server a little
// memory for as long as the connection lives, and a client that has no right needs no connection.
const maxRefusals = 100

// lastWord is how long a connection that is to be closed has for what was written to it.
const lastWord = time.Second

// Connection is what is known of a connection. It is its peer's credentials.AuthInfo, for FromContext to find, and
// otherwise like the one of the credentials below.
type Connection struct {
	credentials.AuthInfo

	identity string
	local    bool // a *Local: its callers' identities come with the calls
	raw      net.Conn
	guard    *auth.Guard
	refusals atomic.Int32
}

// Identity is the SPIFFE ID that the certificate of the client has proved, whose call has this header; "" for none.
func (c *Connection) Identity(header func(name string) []string) string {
	switch {
	case c == nil:
		return ""
	case !c.local:
		return c.identity
	}
	if said := header(IdentityHeader); len(said) == 1 {
		return said[0]
	}
	return ""
}

// Refused notes that a call was refused, and has the connection closed if there were too many.
func (c *Connection) Refused(ctx context.Context) {
	if c == nil || c.local || c.refusals.Add(1) != maxRefusals {
		return
	}
	c.guard.Refuse(ctx, auth.ReasonTooManyRefusals)
	time.AfterFunc(lastWord, func() { _ = c.raw.Close() }) // the transport notices
}

// GetCommonAuthInfo tells gRPC how well the connection is protected.
func (c *Connection) GetCommonAuthInfo() credentials.CommonAuthInfo {
	if info, ok := c.AuthInfo.(interface {
		GetCommonAuthInfo() credentials.CommonAuthInfo
	}); ok {
		return info.GetCommonAuthInfo()
	}
	return credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}
}

// GetSecurityValue implements credentials.ChannelzSecurityInfo.
func (c *Connection) GetSecurityValue() credentials.ChannelzSecurityValue {
	if info, ok := c.AuthInfo.(credentials.ChannelzSecurityInfo); ok {
		return info.GetSecurityValue()
	}
	return nil
}

// FromContext is the connection that a call came by; nil if it was not made through Credentials.
func FromContext(ctx context.Context) *Connection {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	c, _ := p.AuthInfo.(*Connection)
	return c
}

// Credentials wraps the transport credentials of a server.
func Credentials(inner credentials.TransportCredentials, guard *auth.Guard) credentials.TransportCredentials {
	return &watched{TransportCredentials: inner, guard: guard}
}

type watched struct {
	credentials.TransportCredentials

	guard *auth.Guard
}

// ServerHandshake implements credentials.TransportCredentials.
func (w *watched) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := w.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		if reason := Reason(err, time.Now()); reason != "" {
			w.guard.Refuse(context.Background(), reason)
		}
		return nil, nil, err
	}
	c := &Connection{AuthInfo: info, raw: raw, guard: w.guard}
	_, c.local = raw.(*Local)
	if over, ok := info.(credentials.TLSInfo); ok {
		if c.identity, err = VerifiedIdentity(&over.State); err != nil {
			_ = conn.Close() // nobody is to use it
			w.guard.Refuse(context.Background(), auth.ReasonIdentity)
			return nil, nil, err
		}
	}
	return conn, c, nil
}

// Clone implements credentials.TransportCredentials.
func (w *watched) Clone() credentials.TransportCredentials {
	return &watched{TransportCredentials: w.TransportCredentials.Clone(), guard: w.guard}
}

// VerifiedIdentity is the SPIFFE ID of a client's certificate, if it was verified; "" otherwise.
func VerifiedIdentity(state *tls.ConnectionState) (string, error) {
	if len(state.VerifiedChains) == 0 {
		return "", nil
	}
	return auth.SPIFFEID(state.VerifiedChains[0][0])
}

// Reason names why a handshake failed at a time; "" for a client that went away, as probes of a port do.
func Reason(err error, now time.Time) auth.Reason {
	if errors.Is(err, io.EOF) {
		return ""
	}
	if _, ok := errors.AsType[*auth.IdentityError](err); ok {
		return auth.ReasonIdentity
	}
	if _, ok := errors.AsType[*auth.RevokedError](err); ok {
		return auth.ReasonRevokedCertificate
	}
	// crypto/tls has no type for it.
	if strings.Contains(err.Error(), "client didn't provide a certificate") {
		return auth.ReasonNoCertificate
	}
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case ok && invalid.Reason == x509.Expired && now.Before(invalid.Cert.NotBefore):
		return auth.ReasonEarlyCertificate
	case ok && invalid.Reason == x509.Expired:
		return auth.ReasonExpiredCertificate
	case ok:
		return auth.ReasonUnknownAuthority
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return auth.ReasonUnknownAuthority
	}
	return auth.ReasonHandshake
}

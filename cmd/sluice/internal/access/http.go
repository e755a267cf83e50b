package access

import (
	"context"
	"errors"
	"net/http"
	"path"
	"time"

	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/certificates"
	"github.com/sluiceml/sluice/server/handshake"
	"github.com/sluiceml/sluice/server/status"
)

// ProtectPublic asks for credentials for /metrics, and for a certificate, if the server has client authorities, for all but
// the probes. Rights to the rest are the gRPC server's to judge, which knows what a request asks for.
func (c *Control) ProtectPublic(next http.Handler) http.Handler {
	scrape := c.protect(next, func(r *http.Request) string { return r.URL.Path })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux takes an escaped path apart before it unescapes it, so that /livez with escaped dots before it is another
		// path to it; and /metrics is what unescapes to it.
		switch escaped := path.Clean(r.URL.EscapedPath()); {
		case escaped == "/livez", escaped == "/readyz", escaped == "/health":
			next.ServeHTTP(w, r)
		case path.Clean(r.URL.Path) == "/metrics":
			scrape.ServeHTTP(w, r)
		default:
			if identity, ok := c.certified(w, r, false); ok {
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, identity)))
			}
		}
	})
}

// identityKey is where a request's context has the identity that its certificate proves.
type identityKey struct{}

// VerifiedIdentity is the SPIFFE ID that the client of a request of ProtectPublic has proved; "" for none.
func VerifiedIdentity(r *http.Request) string {
	identity, _ := r.Context().Value(identityKey{}).(string)
	return identity
}

// Authorize decides whether a request of ProtectPublic may make a call of a gRPC method. One that may not never becomes a
// call: its line in the log is written here.
func (c *Control) Authorize(r *http.Request, method string) error {
	_, err := c.guard.Check(r.Context(), auth.Call{Method: method, Header: r.Header.Values, Identity: VerifiedIdentity(r)})
	if err != nil {
		c.refusals.Refused(r.Context(), method, r.RemoteAddr, err)
	}
	return err //nolint:wrapcheck // status knows it
}

// ProtectAdmin asks for the credentials of an operator.
func (c *Control) ProtectAdmin(next http.Handler) http.Handler {
	return c.protect(next, func(*http.Request) string { return "/admin" })
}

// certified asks for a certificate, if the server has client authorities, and answers a request that has none or a wrong
// one. Open: it may do without.
func (c *Control) certified(w http.ResponseWriter, r *http.Request, open bool) (identity string, ok bool) {
	if c.certificates == nil {
		return "", true
	}
	identity, err := c.certificates.ClientIdentity(r.TLS)
	switch {
	case err == nil, errors.Is(err, certificates.ErrNoCertificate) && open:
		return identity, true
	case errors.Is(err, certificates.ErrNoCertificate):
		c.guard.Refuse(r.Context(), auth.ReasonNoCertificate)
		http.Error(w, "a client certificate is needed here", http.StatusUnauthorized)
	default:
		c.guard.Refuse(r.Context(), handshake.Reason(err, time.Now()))
		http.Error(w, "the client's certificate is not valid here", http.StatusUnauthorized)
	}
	return "", false
}

// protect asks for a certificate, if the server has client authorities, and checks a request as a call of a method.
func (c *Control) protect(next http.Handler, method func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := auth.Call{Method: method(r), Header: r.Header.Values}
		var ok bool
		if call.Identity, ok = c.certified(w, r, c.guard.Open(call.Method)); !ok {
			return
		}
		principal, err := c.guard.Check(r.Context(), call)
		if err != nil {
			code := status.HTTP(status.Of(r.Context(), err).Code())
			if code == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			http.Error(w, http.StatusText(code), code) // not the error, which repeats the path
			return
		}
		next.ServeHTTP(w, r.WithContext(auth.NewContext(r.Context(), principal)))
	})
}

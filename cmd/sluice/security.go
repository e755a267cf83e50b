package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/credentials"

	"github.com/sluiceml/sluice/cmd/sluice/internal/exit"
	"github.com/sluiceml/sluice/internal/loopback"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/certificates"
	"github.com/sluiceml/sluice/server/handshake"
	"github.com/sluiceml/sluice/server/interceptor"
	"github.com/sluiceml/sluice/server/status"
)

// securityFlags say who may connect and call.
type securityFlags struct {
	TLSCert       string   `help:"Serve TLS, on all addresses, with the certificate chain of this PEM file; read again when it changes." name:"tls-cert" placeholder:"FILE"`
	TLSKey        string   `help:"Private key of --tls-cert, PEM. Others must not be able to read it." name:"tls-key" placeholder:"FILE"`
	TLSClientCA   string   `help:"Take only clients that show a certificate of these authorities (mutual TLS); probes of the HTTP address need none." name:"tls-client-ca" placeholder:"FILE"`
	TLSClientCRL  string   `help:"Revocation lists of those authorities, PEM; read again when it changes. Clients whose certificate is on one are refused, and all of an authority whose list is past its day." name:"tls-client-crl" placeholder:"FILE"`
	TLSClientID   []string `help:"SPIFFE ID that a client's certificate must have; repeatable, /* at the end means all below. Without one: any certificate." name:"tls-client-id" sep:"," placeholder:"URI"`
	TLSMinVersion string   `help:"Least version of TLS: 1.2 or 1.3." name:"tls-min-version" enum:"1.2,1.3" default:"1.2" placeholder:"VERSION"`
	APIKeys       string   `help:"Ask every call but health for a key of this file, which says what each may do (docs/security.md); read again when it changes." name:"api-keys" placeholder:"FILE"`

	MaxConnections int `help:"Open connections of the gRPC address and of the HTTP address, each; more are closed at once. 0: any number." default:"4096" placeholder:"N"`
}

// check returns the faults of the flags.
func (f *securityFlags) check() []error {
	var faults []error
	if (f.TLSCert == "") != (f.TLSKey == "") {
		faults = append(faults, errors.New("--tls-cert and --tls-key belong together"))
	}
	if f.TLSClientCA != "" && f.TLSCert == "" {
		faults = append(faults, errors.New("--tls-client-ca needs --tls-cert and --tls-key"))
	}
	if f.TLSClientCRL != "" && f.TLSClientCA == "" {
		faults = append(faults, errors.New("--tls-client-crl needs --tls-client-ca"))
	}
	if len(f.TLSClientID) > 0 && f.TLSClientCA == "" {
		faults = append(faults, errors.New("--tls-client-id needs --tls-client-ca"))
	}
	for _, id := range f.TLSClientID {
		if _, err := auth.ParseSPIFFEPattern(id); err != nil {
			faults = append(faults, fmt.Errorf("--tls-client-id: %w", err))
		}
	}
	if f.MaxConnections < 0 {
		faults = append(faults, fmt.Errorf("--max-connections must be at least 0, not %d", f.MaxConnections))
	}
	return faults
}

// security is the guard and the certificates of a server, and keeps them as their files are.
type security struct {
	flags        *securityFlags
	log          *slog.Logger
	refusals     *interceptor.RefusalLog
	guard        *auth.Guard
	certificates *certificates.Source // nil: no TLS
	reloading    sync.Mutex           // held by reload, which a signal and a change may call at once
}

// newSecurity reads the files. What is wrong with them is the operator's to mend: a *exit.UsageError.
func newSecurity(flags *securityFlags, meters metric.MeterProvider, log *slog.Logger) (*security, error) {
	s := &security{flags: flags, log: log, refusals: interceptor.NewRefusalLog(log)}
	policy, err := flags.policy()
	if err != nil {
		return nil, exit.Usage(err)
	}
	if s.guard, err = auth.NewGuard(auth.Config{Policy: policy, MeterProvider: meters}); err != nil {
		return nil, err
	}
	if flags.TLSCert == "" {
		return s, nil
	}
	config := certificates.Config{
		CertFile: flags.TLSCert, KeyFile: flags.TLSKey, ClientCAFile: flags.TLSClientCA,
		ClientCRLFile: flags.TLSClientCRL, MinVersion: tls.VersionTLS12,
	}
	if flags.TLSMinVersion == "1.3" {
		config.MinVersion = tls.VersionTLS13
	}
	for _, id := range flags.TLSClientID {
		pattern, _ := auth.ParseSPIFFEPattern(id) // check has looked
		config.ClientIDs = append(config.ClientIDs, pattern)
	}
	if s.certificates, err = certificates.New(config); err != nil {
		return nil, exit.Usage(err)
	}
	return s, s.observeExpiry(meters)
}

// policy reads --api-keys; nil without it.
func (f *securityFlags) policy() (*auth.Policy, error) {
	if f.APIKeys == "" {
		return nil, nil //nolint:nilnil // no policy is one
	}
	text, err := certificates.ReadSecret(f.APIKeys)
	if err != nil {
		return nil, fmt.Errorf("--api-keys: %w", err)
	}
	policy, err := auth.ParsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("--api-keys: %s: %w", f.APIKeys, err)
	}
	return policy, nil
}

// observeExpiry makes the metric by which an alert knows that a certificate is not being renewed.
func (s *security) observeExpiry(meters metric.MeterProvider) error {
	_, err := meters.Meter("github.com/sluiceml/sluice/cmd/sluice").Int64ObservableGauge("sluice.tls.certificate.not_after",
		metric.WithDescription("When the server's certificate expires, in seconds since 1970."), metric.WithUnit("s"),
		metric.WithInt64Callback(func(_ context.Context, to metric.Int64Observer) error {
			to.Observe(s.certificates.NotAfter().Unix())
			return nil
		}))
	return err
}

// files are those that the server reads again.
func (s *security) files() []string {
	var files []string
	if s.flags.APIKeys != "" {
		files = append(files, s.flags.APIKeys)
	}
	if s.certificates != nil {
		files = append(files, s.certificates.Files()...)
	}
	return files
}

// reload reads the files again. A faulty one changes nothing, and is named in the log.
func (s *security) reload() {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if s.certificates != nil {
		if err := s.certificates.Reload(); err != nil {
			s.log.Error("the certificates stay as they were", "error", err.Error())
		} else {
			s.log.Info("reloaded the certificates", "not_after", s.certificates.NotAfter().Format(time.RFC3339))
		}
	}
	if s.flags.APIKeys != "" {
		policy, err := s.flags.policy()
		if err != nil {
			s.log.Error("the API keys stay as they were", "error", err.Error())
			return
		}
		s.guard.Replace(policy)
		s.log.Info("reloaded the API keys", "clients", policy.Clients())
	}
}

// credentials are those of the gRPC server; nil: none.
func (s *security) credentials() credentials.TransportCredentials {
	if s.certificates == nil {
		return nil
	}
	return credentials.NewTLS(s.certificates.RPC())
}

// listener puts TLS on an HTTP listener, if there are certificates.
func (s *security) listener(plain net.Listener) net.Listener {
	if s.certificates == nil {
		return plain
	}
	return tls.NewListener(plain, s.certificates.HTTP())
}

// asks says whether the server asks callers who they are.
func (s *security) asks() bool { return s.flags.APIKeys != "" || s.flags.TLSClientCA != "" }

// warn says once what an operator may not have meant: an address that others reach and that asks nobody who he is, or
// asks so that others can listen.
func (s *security) warn(addr net.Addr) {
	switch {
	case loopback.Addr(addr):
	case !s.asks():
		s.log.Warn("anyone who reaches the server may use it: it is not on a loopback address and asks for no credentials",
			"grpc_addr", addr.String())
	case s.certificates == nil:
		s.log.Warn("API keys travel in clear text: the server is not on a loopback address and has no --tls-cert",
			"grpc_addr", addr.String())
	}
}

// protectPublic asks for credentials for /metrics, and for a certificate, if the server has client authorities, for all but
// the probes. Rights to the rest are the gRPC server's to judge, which knows what a request asks for.
func (s *security) protectPublic(next http.Handler) http.Handler {
	scrape := s.protect(next, func(r *http.Request) string { return r.URL.Path })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux takes an escaped path apart before it unescapes it, so that /livez with escaped dots before it is another
		// path to it; and /metrics is what unescapes to it.
		switch escaped := path.Clean(r.URL.EscapedPath()); {
		case escaped == "/livez", escaped == "/readyz":
			next.ServeHTTP(w, r)
		case path.Clean(r.URL.Path) == "/metrics":
			scrape.ServeHTTP(w, r)
		default:
			if identity, ok := s.certified(w, r, false); ok {
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, identity)))
			}
		}
	})
}

// identityKey is where a request's context has the identity that its certificate proves.
type identityKey struct{}

// verifiedIdentity is the SPIFFE ID that the client of a request of protectPublic has proved; "" for none.
func verifiedIdentity(r *http.Request) string {
	identity, _ := r.Context().Value(identityKey{}).(string)
	return identity
}

// authorize decides whether a request of protectPublic may make a call of a gRPC method. One that may not never becomes a
// call: its line in the log is written here.
func (s *security) authorize(r *http.Request, method string) error {
	_, err := s.guard.Check(r.Context(), auth.Call{Method: method, Header: r.Header.Values, Identity: verifiedIdentity(r)})
	if err != nil {
		s.refusals.Refused(r.Context(), method, r.RemoteAddr, err)
	}
	return err //nolint:wrapcheck // status knows it
}

// protectAdmin asks for the credentials of an operator.
func (s *security) protectAdmin(next http.Handler) http.Handler {
	return s.protect(next, func(*http.Request) string { return "/admin" })
}

// certified asks for a certificate, if the server has client authorities, and answers a request that has none or a wrong
// one. Open: it may do without.
func (s *security) certified(w http.ResponseWriter, r *http.Request, open bool) (identity string, ok bool) {
	if s.certificates == nil {
		return "", true
	}
	identity, err := s.certificates.ClientIdentity(r.TLS)
	switch {
	case err == nil, errors.Is(err, certificates.ErrNoCertificate) && open:
		return identity, true
	case errors.Is(err, certificates.ErrNoCertificate):
		s.guard.Refuse(r.Context(), auth.ReasonNoCertificate)
		answer(w, http.StatusUnauthorized, "a client certificate is needed here")
	default:
		s.guard.Refuse(r.Context(), handshake.Reason(err, time.Now()))
		answer(w, http.StatusUnauthorized, "the client's certificate is not valid here")
	}
	return "", false
}

// protect asks for a certificate, if the server has client authorities, and checks a request as a call of a method.
func (s *security) protect(next http.Handler, method func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := auth.Call{Method: method(r), Header: r.Header.Values}
		var ok bool
		if call.Identity, ok = s.certified(w, r, s.guard.Open(call.Method)); !ok {
			return
		}
		principal, err := s.guard.Check(r.Context(), call)
		if err != nil {
			code := status.HTTP(status.Of(r.Context(), err).Code())
			if code == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			answer(w, code, http.StatusText(code)) // not the error, which repeats the path
			return
		}
		next.ServeHTTP(w, r.WithContext(auth.NewContext(r.Context(), principal)))
	})
}

// readClientKey refuses a client's private key that others can read, as the server does with its own.
func readClientKey(path string) error {
	_, err := certificates.ReadSecret(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // whoever loads it says so
	}
	return err
}

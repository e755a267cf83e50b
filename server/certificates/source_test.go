package certificates_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/certificates"
	"github.com/sluiceml/sluice/server/certificates/certtest"
	"github.com/sluiceml/sluice/server/handshake"
)

// shake makes a TLS connection over memory-less loopback and returns both ends' states and errors. Client and server
// exchange a byte, since in TLS 1.3 a client learns late that its certificate was refused.
func shake(t *testing.T, server, client *tls.Config) (serverState, clientState tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := listener.Accept()
		if err != nil {
			serverErr = err
			return
		}
		conn := tls.Server(raw, server)
		defer conn.Close()
		if serverErr = conn.Handshake(); serverErr == nil {
			serverState = conn.ConnectionState()
			_, _ = conn.Write([]byte{1})
		}
	}()
	conn, clientErr := tls.Dial("tcp", listener.Addr().String(), client)
	if clientErr == nil {
		clientState = conn.ConnectionState()
		_, clientErr = io.ReadFull(conn, make([]byte, 1))
		conn.Close()
	}
	<-done
	return serverState, clientState, serverErr, clientErr
}

// setup is a folder with a server's certificate and the configuration that reads it.
func setup(t *testing.T) (authority *certtest.Authority, config certificates.Config, folder string) {
	t.Helper()
	authority, folder = certtest.NewAuthority(t), t.TempDir()
	config.CertFile, config.KeyFile = authority.Issue(t, certtest.Options{}).Write(t, folder, "server")
	config.ClientCAFile = filepath.Join(folder, "clients.pem")
	certtest.WriteFile(t, config.ClientCAFile, authority.PEM())
	return authority, config, folder
}

func newSource(t *testing.T, config certificates.Config) *certificates.Source {
	t.Helper()
	source, err := certificates.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func patterns(t *testing.T, texts ...string) (out []auth.SPIFFEPattern) {
	t.Helper()
	for _, text := range texts {
		pattern, err := auth.ParseSPIFFEPattern(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pattern)
	}
	return out
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	authority, config, _ := setup(t)
	config.ClientIDs = patterns(t, "spiffe://example.org/ns/prod/*")
	source := newSource(t, config)
	now := time.Now()
	good := certtest.Options{URIs: []string{"spiffe://example.org/ns/prod/web"}}
	for name, c := range map[string]struct {
		client *tls.Config
		reason auth.Reason // "": it succeeds
	}{
		"good": {&tls.Config{Certificates: []tls.Certificate{authority.Issue(t, good).TLS(t)}}, ""},
		"TLS 1.2": {&tls.Config{
			Certificates: []tls.Certificate{authority.Issue(t, good).TLS(t)}, MaxVersion: tls.VersionTLS12,
		}, ""},
		"none":        {&tls.Config{}, auth.ReasonNoCertificate},
		"another CA":  {&tls.Config{Certificates: []tls.Certificate{certtest.NewAuthority(t).Issue(t, good).TLS(t)}}, auth.ReasonUnknownAuthority},
		"expired":     {&tls.Config{Certificates: []tls.Certificate{authority.Issue(t, certtest.Options{URIs: good.URIs, NotAfter: now.Add(-time.Minute)}).TLS(t)}}, auth.ReasonExpiredCertificate},
		"early":       {&tls.Config{Certificates: []tls.Certificate{authority.Issue(t, certtest.Options{URIs: good.URIs, NotBefore: now.Add(time.Hour)}).TLS(t)}}, auth.ReasonEarlyCertificate},
		"of a server": {&tls.Config{Certificates: []tls.Certificate{authority.Issue(t, certtest.Options{URIs: good.URIs, ServerOnly: true}).TLS(t)}}, auth.ReasonUnknownAuthority},
		"somebody else": {&tls.Config{
			Certificates: []tls.Certificate{authority.Issue(t, certtest.Options{URIs: []string{"spiffe://example.org/ns/test/web"}}).TLS(t)},
		}, auth.ReasonIdentity},
		"nobody":  {&tls.Config{Certificates: []tls.Certificate{authority.Issue(t, certtest.Options{}).TLS(t)}}, auth.ReasonIdentity},
		"TLS 1.1": {&tls.Config{Certificates: []tls.Certificate{authority.Issue(t, good).TLS(t)}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, auth.ReasonHandshake},
		"another protocol": {&tls.Config{
			Certificates: []tls.Certificate{authority.Issue(t, good).TLS(t)}, NextProtos: []string{"spdy/3"},
		}, auth.ReasonHandshake},
		"weak cipher": {&tls.Config{
			Certificates: []tls.Certificate{authority.Issue(t, good).TLS(t)}, MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA},
		}, auth.ReasonHandshake},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.client.RootCAs, c.client.ServerName = authority.Pool(), "localhost"
			if c.client.NextProtos == nil {
				c.client.NextProtos = []string{"h2"}
			}
			// A client of crypto/tls shows no certificate of an authority that the server did not name.
			if len(c.client.Certificates) > 0 {
				c.client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return &c.client.Certificates[0], nil
				}
			}
			state, _, serverErr, clientErr := shake(t, source.RPC(), c.client)
			if (serverErr == nil) != (c.reason == "") || (clientErr == nil) != (c.reason == "") {
				t.Fatalf("server: %v, client: %v", serverErr, clientErr)
			}
			if c.reason != "" {
				if got := handshake.Reason(serverErr, time.Now()); got != c.reason {
					t.Errorf("%v counts as %s, want %s", serverErr, got, c.reason)
				}
				return
			}
			id, err := handshake.VerifiedIdentity(&state)
			if err != nil || id != good.URIs[0] || state.NegotiatedProtocol != "h2" {
				t.Errorf("got %q, %v, %q", id, err, state.NegotiatedProtocol)
			}
		})
	}
}

// TestReload renews everything, and shows that a faulty renewal changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	authority, config, folder := setup(t)
	source := newSource(t, config)
	client := func(a, trusts *certtest.Authority) *tls.Config {
		certificate := a.Issue(t, certtest.Options{}).TLS(t)
		return &tls.Config{
			RootCAs: trusts.Pool(), ServerName: "localhost", NextProtos: []string{"h2"},
			ClientSessionCache: tls.NewLRUClientSessionCache(1),
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &certificate, nil
			},
		}
	}
	rpc := source.RPC() // one for all: the listener keeps its configuration
	old := client(authority, authority)
	expect := func(what string, config *tls.Config, ok bool) tls.ConnectionState {
		t.Helper()
		_, state, serverErr, clientErr := shake(t, rpc, config)
		if (serverErr == nil && clientErr == nil) != ok {
			t.Errorf("%s: server: %v, client: %v", what, serverErr, clientErr)
		}
		return state
	}
	before := expect("at first", old, true)

	for what, write := range map[string]func(){
		"half a certificate": func() { certtest.WriteFile(t, config.CertFile, authority.Issue(t, certtest.Options{}).Cert[:100]) },
		"another's key":      func() { certtest.WriteFile(t, config.KeyFile, authority.Issue(t, certtest.Options{}).Key) },
		"no authorities":     func() { certtest.WriteFile(t, config.ClientCAFile, nil) },
		"a missing file":     func() { _ = os.Remove(config.KeyFile) },
		"a readable key":     func() { _ = os.Chmod(config.KeyFile, 0o644) },
	} {
		keep := map[string][]byte{}
		for _, path := range source.Files() {
			keep[path], _ = os.ReadFile(path)
		}
		write()
		if err := source.Reload(); err == nil {
			t.Errorf("%s is taken", what)
		}
		after := expect(what, old, true)
		if !after.PeerCertificates[0].Equal(before.PeerCertificates[0]) {
			t.Errorf("%s has changed the certificate", what)
		}
		for path, text := range keep {
			certtest.WriteFile(t, path, text)
		}
	}

	renewed := certtest.NewAuthority(t)
	renewed.Issue(t, certtest.Options{NotAfter: time.Now().Add(time.Hour).Truncate(time.Second)}).Write(t, folder, "server")
	certtest.WriteFile(t, config.ClientCAFile, renewed.PEM())
	if err := source.Reload(); err != nil {
		t.Fatal(err)
	}
	after := expect("renewed", client(renewed, renewed), true)
	if after.PeerCertificates[0].Equal(before.PeerCertificates[0]) || !after.PeerCertificates[0].NotAfter.Equal(source.NotAfter()) {
		t.Error("the certificate has not changed")
	}
	// The old client has a session, and trusts the new server.
	old.RootCAs = renewed.Pool()
	expect("an authority that was taken out", old, false)
}

// TestClientIdentity: the HTTP listener takes every client, and the handler asks later.
func TestClientIdentity(t *testing.T) {
	t.Parallel()
	authority, config, _ := setup(t)
	config.ClientIDs = patterns(t, "spiffe://example.org/prometheus")
	source := newSource(t, config)
	identity := func(certificate *tls.Certificate) (string, error) {
		client := &tls.Config{RootCAs: authority.Pool(), ServerName: "localhost", NextProtos: []string{"http/1.1"}}
		if certificate != nil {
			client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
		}
		state, _, serverErr, clientErr := shake(t, source.HTTP(), client)
		if err := errors.Join(serverErr, clientErr); err != nil {
			t.Fatal(err)
		}
		return source.ClientIdentity(&state)
	}
	issue := func(a *certtest.Authority, options certtest.Options) *tls.Certificate {
		certificate := a.Issue(t, options).TLS(t)
		return &certificate
	}
	uris := []string{"spiffe://example.org/prometheus"}
	if id, err := identity(issue(authority, certtest.Options{URIs: uris})); err != nil || id != uris[0] {
		t.Errorf("got %q, %v", id, err)
	}
	if _, err := identity(nil); !errors.Is(err, certificates.ErrNoCertificate) {
		t.Errorf("without a certificate: %v", err)
	}
	for reason, certificate := range map[auth.Reason]*tls.Certificate{
		auth.ReasonUnknownAuthority:   issue(certtest.NewAuthority(t), certtest.Options{URIs: uris}),
		auth.ReasonExpiredCertificate: issue(authority, certtest.Options{URIs: uris, NotAfter: time.Now().Add(-time.Minute)}),
		auth.ReasonEarlyCertificate:   issue(authority, certtest.Options{URIs: uris, NotBefore: time.Now().Add(time.Minute)}),
		auth.ReasonIdentity:           issue(authority, certtest.Options{}),
	} {
		_, err := identity(certificate)
		if err == nil || handshake.Reason(err, time.Now()) != reason {
			t.Errorf("want %s, got %v", reason, err)
		}
	}
	config.ClientCAFile, config.ClientIDs = "", nil
	if id, err := newSource(t, config).ClientIdentity(nil); id != "" || err != nil {
		t.Errorf("without authorities: %q, %v", id, err)
	}
}

func TestReadSecret(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[os.FileMode]bool{
		0o400: true, 0o600: true, 0o440: true, 0o640: true,
		0o604: false, 0o644: false, 0o602: false, 0o601: false, 0o660: false, 0o620: false, 0o666: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := certificates.ReadSecret(path)
		if (err == nil) != ok {
			t.Errorf("mode %o: %v", mode, err)
		}
		if err != nil && !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("no advice: %v", err)
		}
	}
}

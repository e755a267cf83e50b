package access

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"

	"github.com/sluiceml/sluice/cmd/sluice/internal/httpserver"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/certificates/certtest"
)

// controlled is the access control of flags.
func controlled(t *testing.T, flags Flags, log io.Writer) *Control {
	t.Helper()
	s, err := New(&flags, metricnoop.NewMeterProvider(), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keysFile writes a file of one client, which may do what allow says, and returns its path and the client's key.
func keysFile(t *testing.T, allow string) (path, key string) {
	t.Helper()
	path, key = filepath.Join(t.TempDir(), "keys.yaml"), auth.NewKey()
	hash, err := auth.HashKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certtest.WriteFile(t, path, fmt.Appendf(nil, "clients: [{name: a, key_sha256: %s, allow: [%s]}]", hash, allow))
	return path, key
}

// A request that may not make a call is in the log with its caller's address, a few of many.
func TestRefusedRequestsAreLogged(t *testing.T) {
	var log bytes.Buffer
	keys, _ := keysFile(t, "inference")
	s := controlled(t, Flags{APIKeys: keys}, &log)
	for range 50 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/completions", nil)
		r.RemoteAddr = "192.0.2.7:1234"
		if err := s.Authorize(r, "/sluice.v1.InferenceService/Generate"); err == nil {
			t.Fatal("authorized")
		}
	}
	lines := strings.Count(log.String(), "\n")
	if first, _, _ := strings.Cut(log.String(), "\n"); lines == 0 || lines > 25 || !strings.Contains(first, "peer.address=192.0.2.7:1234") {
		t.Errorf("%d lines:\n%s", lines, log.String())
	}
}

func TestWarnings(t *testing.T) {
	keys, _ := keysFile(t, "inference")
	authority, folder := certtest.NewAuthority(t), t.TempDir()
	cert, key := authority.Issue(t, certtest.Options{}).Write(t, folder, "server")
	ca := filepath.Join(folder, "ca.pem")
	certtest.WriteFile(t, ca, authority.PEM())
	outside, inside := &net.TCPAddr{IP: net.IPv4zero, Port: 1}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	for _, c := range []struct {
		flags   Flags
		addr    net.Addr
		warning string // "": none
	}{
		{Flags{}, outside, "anyone who reaches the server may use it"},
		{Flags{}, inside, ""},
		{Flags{TLSCert: cert, TLSKey: key}, outside, "anyone who reaches the server may use it"},
		{Flags{APIKeys: keys}, outside, "API keys travel in clear text"},
		{Flags{APIKeys: keys}, inside, ""},
		{Flags{APIKeys: keys, TLSCert: cert, TLSKey: key}, outside, ""},
		{Flags{TLSClientCA: ca, TLSCert: cert, TLSKey: key}, outside, ""},
	} {
		var log bytes.Buffer
		controlled(t, c.flags, &log).Warn(c.addr)
		lines := strings.Count(log.String(), "level=WARN")
		if c.warning == "" && lines != 0 || c.warning != "" && (lines != 1 || !strings.Contains(log.String(), c.warning)) {
			t.Errorf("%+v at %s: %s", c.flags, c.addr, log.String())
		}
	}
}

// TestHTTPAddress asks a real listener for its routes with and without credentials.
func TestHTTPAddress(t *testing.T) {
	keys, key := keysFile(t, "metrics")
	other, otherKey := keysFile(t, "inference, admin")
	authority, folder := certtest.NewAuthority(t), t.TempDir()
	cert, certKey := authority.Issue(t, certtest.Options{}).Write(t, folder, "server")
	ca := filepath.Join(folder, "ca.pem")
	certtest.WriteFile(t, ca, authority.PEM())
	certificate := authority.Issue(t, certtest.Options{}).TLS(t)
	foreign := certtest.NewAuthority(t).Issue(t, certtest.Options{}).TLS(t)
	withTLS := Flags{TLSCert: cert, TLSKey: certKey}
	mutual := Flags{TLSCert: cert, TLSKey: certKey, TLSClientCA: ca}
	both := mutual
	both.APIKeys = keys
	for _, c := range []struct {
		name   string
		flags  Flags
		admin  bool
		path   string
		key    string
		client *tls.Certificate
		code   int
	}{
		{"plain", Flags{}, false, "/metrics", "", nil, 200},
		{"TLS", withTLS, false, "/metrics", "", nil, 200},
		{"key", Flags{APIKeys: keys}, false, "/metrics", key, nil, 200},
		{"no key", Flags{APIKeys: keys}, false, "/metrics", "", nil, 401},
		{"wrong key", Flags{APIKeys: keys}, false, "/metrics", auth.NewKey(), nil, 401},
		{"a key that is not for it", Flags{APIKeys: other}, false, "/metrics", otherKey, nil, 403},
		{"a path beside it", Flags{APIKeys: keys}, false, "//metrics", "", nil, 401},
		{"an escaped path", Flags{APIKeys: keys}, false, "/%6Detrics", "", nil, 401},
		{"probe without a key", Flags{APIKeys: keys}, false, "/livez", "", nil, 200},
		{"mutual TLS", mutual, false, "/metrics", "", &certificate, 200},
		{"no certificate", mutual, false, "/metrics", "", nil, 401},
		{"foreign certificate", mutual, false, "/metrics", "", &foreign, 401},
		{"probe without a certificate", mutual, false, "/readyz", "", nil, 200},
		{"other servers' probe without a certificate", mutual, false, "/health", "", nil, 200},
		{"both", both, false, "/metrics", key, &certificate, 200},
		{"a key and no certificate", both, false, "/metrics", key, nil, 401},
		{"a certificate and no key", both, false, "/metrics", "", &certificate, 401},
		{"admin", Flags{APIKeys: other}, true, "/metrics", otherKey, nil, 200},
		{"admin without the right", Flags{APIKeys: keys}, true, "/metrics", key, nil, 403},
		{"admin without a key", Flags{APIKeys: keys}, true, "/livez", "", nil, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := controlled(t, c.flags, io.Discard)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			handler := httpserver.Public(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
				func() bool { return true }, nil)
			if c.admin {
				handler = s.ProtectAdmin(handler)
			} else {
				handler = s.ProtectPublic(handler)
			}
			server := httpserver.New(s.Listener(listener), handler, httpserver.ExchangeTimeout, slog.New(slog.DiscardHandler))
			defer func() {
				if err := server.Close(); err != nil {
					t.Error(err)
				}
			}()
			config := &tls.Config{RootCAs: x509.NewCertPool()}
			config.RootCAs.AppendCertsFromPEM(authority.PEM())
			if c.client != nil {
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.client, nil }
			}
			transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
			defer transport.CloseIdleConnections()
			scheme := "http"
			if c.flags.TLSCert != "" {
				scheme = "https"
			}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://"+listener.Addr().String()+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.key != "" {
				request.Header.Set("Authorization", "Bearer "+c.key)
			}
			response, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != c.code {
				t.Errorf("got %d, want %d", response.StatusCode, c.code)
			}
			if (scheme == "https") != (response.ProtoMajor == 2) {
				t.Errorf("%s speaks %s", scheme, response.Proto)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	keys, _ := keysFile(t, "inference")
	authority, folder := certtest.NewAuthority(t), t.TempDir()
	cert, _ := authority.Issue(t, certtest.Options{}).Write(t, folder, "server")
	_, otherKey := authority.Issue(t, certtest.Options{}).Write(t, folder, "other")
	empty := filepath.Join(folder, "empty")
	certtest.WriteFile(t, empty, nil)
	for _, flags := range []Flags{
		{APIKeys: filepath.Join(folder, "missing")},
		{APIKeys: empty},
		{APIKeys: keys, TLSCert: cert, TLSKey: otherKey},
		{TLSCert: cert, TLSKey: empty},
		{TLSCert: empty, TLSKey: otherKey},
	} {
		_, err := New(&flags, metricnoop.NewMeterProvider(), slog.New(slog.DiscardHandler))
		if !errors.As(err, new(*usage.Error)) {
			t.Errorf("%+v: %v", flags, err)
		}
	}
}

// TestWatchFiles replaces files as tools do, and swaps a folder as Kubernetes does.
func TestWatchFiles(t *testing.T) {
	folder := t.TempDir()
	plain := filepath.Join(folder, "plain", "keys.yaml")
	mounted := filepath.Join(folder, "mounted", "tls.crt")
	for _, c := range []struct {
		file    string
		prepare []string // commands of a shell in folder
		change  string
	}{
		{plain, []string{"mkdir plain", "echo 1 > plain/keys.yaml"}, "echo 2 > plain/fresh && mv plain/fresh plain/keys.yaml"},
		{mounted, []string{
			"mkdir -p mounted/..1 mounted/..2", "echo 1 > mounted/..1/tls.crt", "echo 2 > mounted/..2/tls.crt",
			"ln -s ..1 mounted/..data", "ln -s ..data/tls.crt mounted/tls.crt",
		}, "ln -s ..2 mounted/..new && mv -T mounted/..new mounted/..data"},
	} {
		for _, command := range c.prepare {
			shell(t, folder, command)
		}
		var changes atomic.Int32
		changed := make(chan struct{}, 8)
		stop := watchFiles(t.Context(), []string{c.file}, slog.New(slog.DiscardHandler), func() {
			changes.Add(1)
			changed <- struct{}{}
		})
		shell(t, folder, "touch "+filepath.Join(filepath.Dir(c.file), "beside")) // no change of contents
		shell(t, folder, c.change)
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: the change was not noticed", c.file)
		}
		if err := stop(); err != nil || changes.Load() != 1 {
			t.Errorf("%s: %d changes, %v", c.file, changes.Load(), err)
		}
	}
}

// shell runs a command in a folder.
func shell(t *testing.T, folder, command string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), "sh", "-c", command)
	run.Dir = folder
	if output, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, output)
	}
}

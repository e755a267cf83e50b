//go:build mesh

package meshtest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// authority signs certificates into a folder: ca.crt, and NAME.crt with NAME.key.
type authority struct {
	t           *testing.T
	folder      string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, folder: t.TempDir()}
	a.certificate, a.key = a.sign("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.folder, name) }

// sign makes a certificate of 127.0.0.1 and writes it.
func (a *authority) sign(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	if !template.IsCA {
		template.KeyUsage = x509.KeyUsageDigitalSignature
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(a.path(file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate, key
}

// Envoy reaches servers that want mutual TLS and its own SPIFFE ID; nobody else does.
func TestMutualTLS(t *testing.T) {
	ca := newAuthority(t)
	ca.sign("server", &x509.Certificate{})
	ca.sign("envoy", &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/gateway/envoy"}}})
	ca.sign("other", &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/batch"}}})
	secure := []string{
		"--tls-cert", ca.path("server.crt"), "--tls-key", ca.path("server.key"), "--tls-client-ca", ca.path("ca.crt"),
		"--tls-client-id", "spiffe://example.org/gateway/*",
	}
	one, two := newBackend(t, secure...), newBackend(t, secure...)
	envoy := startEnvoy(t, 2, one.port, two.port, "      lb_policy: LEAST_REQUEST", fmt.Sprintf(`      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2]
            tls_certificates:
              - certificate_chain: {filename: %s}
                private_key: {filename: %s}
            validation_context:
              trusted_ca: {filename: %s}
              match_typed_subject_alt_names:
                - san_type: IP_ADDRESS
                  matcher: {exact: 127.0.0.1}
      lb_policy: LEAST_REQUEST`, ca.path("envoy.crt"), ca.path("envoy.key"), ca.path("ca.crt")))
	for range 4 {
		if _, _, err := tell(t.Context(), connect(t, envoy.port, nil), story(4), nil); err != nil {
			t.Errorf("through Envoy: %v", err)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	other, err := tls.LoadX509KeyPair(ca.path("other.crt"), ca.path("other.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, transport := range map[string]credentials.TransportCredentials{
		"without TLS":                 nil,
		"without a certificate":       credentials.NewTLS(&tls.Config{RootCAs: roots}),
		"with another's SPIFFE ID":    credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{other}}),
		"with an unknown authority's": credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{stranger(t)}}),
	} {
		_, _, err := tell(t.Context(), connect(t, one.port, transport), story(4), nil)
		switch status.Code(err) {
		case codes.Unavailable, codes.Unauthenticated, codes.PermissionDenied: // as far as each comes
		default:
			t.Errorf("%s: %v", name, err)
		}
	}
}

// stranger is the right name from the wrong authority.
func stranger(t *testing.T) tls.Certificate {
	t.Helper()
	ca := newAuthority(t)
	ca.sign("envoy", &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/gateway/envoy"}}})
	pair, err := tls.LoadX509KeyPair(ca.path("envoy.crt"), ca.path("envoy.key"))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

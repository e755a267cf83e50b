// Package certificates is the server's side of TLS: a certificate, its key and the authorities of clients, read from
// files and read again while the server runs.
//
// It is built on crypto/tls alone. grpc-go has a provider of its own (credentials/tls/certprovider/pemfile), which polls,
// takes no notice of a key file's permissions, serves gRPC only and is experimental; what a reload needs beyond it is an
// atomic pointer.
package certificates

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/sluiceml/sluice/server/auth"
)

// Config says where the certificates are.
type Config struct {
	// CertFile holds the server's certificate and the intermediate ones, PEM, the server's own first. Required.
	CertFile string
	// KeyFile holds the certificate's private key, PEM; others must not be able to read it. Required.
	KeyFile string
	// ClientCAFile holds the authorities whose certificates clients must show (mutual TLS). "": clients need none.
	ClientCAFile string
	// ClientCRLFile holds revocation lists of those authorities, PEM. "": nothing is revoked.
	ClientCRLFile string
	// ClientIDs are the SPIFFE IDs that may connect. Empty: any certificate of the authorities.
	ClientIDs []auth.SPIFFEPattern
	// MinVersion is the least version of TLS. 0: TLS 1.2.
	MinVersion uint16
}

// Source holds the certificates in force. It is safe for concurrent use.
type Source struct {
	config  Config
	current atomic.Pointer[loaded]
}

// loaded is one state of the files.
type loaded struct {
	rpc, http *tls.Config
	leaf      *x509.Certificate
	clients   *x509.CertPool // nil: clients need no certificate
	revoked   *revocations   // nil: none
}

// New loads the certificates.
func New(config Config) (*Source, error) {
	if len(config.ClientIDs) > 0 && config.ClientCAFile == "" {
		return nil, errors.New("SPIFFE IDs of clients need the authorities of their certificates")
	}
	if config.ClientCRLFile != "" && config.ClientCAFile == "" {
		return nil, errors.New("revocation lists of clients need the authorities of their certificates")
	}
	if config.MinVersion == 0 {
		config.MinVersion = tls.VersionTLS12
	}
	s := &Source{config: config}
	return s, s.Reload()
}

// Reload reads the files again. New connections get what it has found; those that are open keep what they have. If the
// files do not go together, nothing changes and the error says why.
func (s *Source) Reload() error {
	state, err := s.load()
	if err != nil {
		return err
	}
	s.current.Store(state)
	return nil
}

// Files are the paths that a change of which needs a Reload.
func (s *Source) Files() []string {
	files := []string{s.config.CertFile, s.config.KeyFile}
	if s.config.ClientCAFile != "" {
		files = append(files, s.config.ClientCAFile)
	}
	if s.config.ClientCRLFile != "" {
		files = append(files, s.config.ClientCRLFile)
	}
	return files
}

// NotAfter is when the server's own certificate expires.
func (s *Source) NotAfter() time.Time { return s.current.Load().leaf.NotAfter }

func (s *Source) load() (*loaded, error) {
	chain, err := os.ReadFile(s.config.CertFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := ReadSecret(s.config.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	certificate, err := tls.X509KeyPair(chain, key) // checks that they go together, and parses the leaf
	if err != nil {
		return nil, fmt.Errorf("certificate %s and key %s: %w", s.config.CertFile, s.config.KeyFile, err)
	}
	state := &loaded{leaf: certificate.Leaf}
	if s.config.ClientCAFile != "" {
		bundle, err := os.ReadFile(s.config.ClientCAFile)
		if err != nil {
			return nil, fmt.Errorf("client authorities: %w", err)
		}
		state.clients = x509.NewCertPool()
		if !state.clients.AppendCertsFromPEM(bundle) {
			return nil, fmt.Errorf("client authorities: %s holds no PEM certificate", s.config.ClientCAFile)
		}
		if s.config.ClientCRLFile != "" {
			if state.revoked, err = readRevocations(s.config.ClientCRLFile, bundle); err != nil {
				return nil, fmt.Errorf("revocation lists: %w", err)
			}
		}
	}
	state.rpc = s.base(certificate)
	state.rpc.NextProtos = []string{"h2"}
	state.http = s.base(certificate)
	state.http.NextProtos = []string{"h2", "http/1.1"}
	if state.clients != nil {
		state.rpc.ClientCAs, state.rpc.ClientAuth = state.clients, tls.RequireAndVerifyClientCert
		state.rpc.VerifyConnection = func(connection tls.ConnectionState) error {
			return s.verifyClient(connection, state.revoked)
		}
		// Probes have no certificate, so that the handler decides which routes need one (ClientIdentity).
		state.http.ClientAuth = tls.RequestClientCert
	}
	return state, nil
}

// base is what both listeners share.
func (s *Source) base(certificate tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   s.config.MinVersion, //nolint:gosec // New has set it, to 1.2 at least
		// Those of TLS 1.2 with forward secrecy and an AEAD, as HTTP/2 demands; those of TLS 1.3 are not for us to choose.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		// A resumed session would skip the authorities of a reload. Connections are few and long.
		SessionTicketsDisabled: true,
	}
}

// RPC is the configuration of a gRPC listener: of mutual TLS, if there are client authorities.
func (s *Source) RPC() *tls.Config {
	return &tls.Config{
		MinVersion: s.config.MinVersion, //nolint:gosec // as above
		NextProtos: []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.current.Load().rpc, nil
		},
	}
}

// HTTP is the configuration of an HTTP listener. It asks clients for a certificate and takes any, or none:
// ClientIdentity says whether one is good.
func (s *Source) HTTP() *tls.Config {
	return &tls.Config{
		MinVersion: s.config.MinVersion, //nolint:gosec // as above
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.current.Load().http, nil
		},
	}
}

// verifyClient ends the handshake of a client whose certificate is good and was taken back, or names nobody who may connect.
func (s *Source) verifyClient(state tls.ConnectionState, revoked *revocations) error {
	if len(state.VerifiedChains) == 0 {
		return errors.New("no certificate was verified") // crypto/tls has seen to it
	}
	if err := revoked.check(state.VerifiedChains, time.Now()); err != nil {
		return err
	}
	id, err := auth.SPIFFEID(state.VerifiedChains[0][0])
	if err != nil || !s.mayConnect(id) {
		return &auth.IdentityError{}
	}
	return nil
}

func (s *Source) mayConnect(id string) bool {
	for _, pattern := range s.config.ClientIDs {
		if pattern.Matches(id) {
			return true
		}
	}
	return len(s.config.ClientIDs) == 0
}

// ErrNoCertificate says that a client showed none where it must.
var ErrNoCertificate = errors.New("the client showed no certificate")

// ClientIdentity verifies the certificate of a connection that was made by HTTP, as a handshake of gRPC would have, and
// returns its SPIFFE ID, "" if it has none. Without client authorities nobody has to show one.
func (s *Source) ClientIdentity(state *tls.ConnectionState) (string, error) {
	now := s.current.Load()
	if now.clients == nil {
		return "", nil
	}
	if state == nil || len(state.PeerCertificates) == 0 {
		return "", ErrNoCertificate
	}
	options := x509.VerifyOptions{
		Roots:         now.clients,
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	chains, err := state.PeerCertificates[0].Verify(options)
	if err != nil {
		return "", err
	}
	if err := now.revoked.check(chains, time.Now()); err != nil {
		return "", err
	}
	id, err := auth.SPIFFEID(state.PeerCertificates[0])
	if err != nil || !s.mayConnect(id) {
		return "", &auth.IdentityError{}
	}
	return id, nil
}

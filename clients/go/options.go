package sluice

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sluiceml/sluice/internal/loopback"
)

// maxMessageSize is the largest response that a client takes, in bytes: the server's own limit. gRPC's default of
// 4 MiB is too small for a long answer with log-probabilities.
const maxMessageSize = 16 << 20

// Option changes how [New] connects.
type Option func(*options)

type options struct {
	tls           *tls.Config
	useTLS        bool
	caFile        string
	certFile      string
	keyFile       string
	apiKey        string
	clearTextKey  bool
	noRetry       bool
	extraDialOpts []grpc.DialOption
}

// WithTLS connects with TLS. A nil config means the system's roots; a client certificate in it means mutual TLS.
func WithTLS(config *tls.Config) Option {
	return func(o *options) { o.useTLS, o.tls = true, config }
}

// WithCAFile connects with TLS and trusts the certificate authorities of a PEM file instead of the system's.
func WithCAFile(path string) Option {
	return func(o *options) { o.useTLS, o.caFile = true, path }
}

// WithClientCertificateFiles connects with TLS and shows a certificate, for servers that ask for one (mutual TLS). Both
// files are PEM; they are read anew for each connection, so that a renewed certificate needs no new client.
func WithClientCertificateFiles(certFile, keyFile string) Option {
	return func(o *options) { o.useTLS, o.certFile, o.keyFile = true, certFile, keyFile }
}

// WithAPIKey sends a key with every call, as "authorization: Bearer KEY". It needs TLS, a loopback address or a Unix
// socket, lest the key travel in clear text; [WithClearTextAPIKey] lifts that.
func WithAPIKey(key string) Option {
	return func(o *options) { o.apiKey = key }
}

// WithClearTextAPIKey allows an API key on a connection without TLS, where something else protects it, such as a
// mesh's sidecar.
func WithClearTextAPIKey() Option {
	return func(o *options) { o.clearTextKey = true }
}

// WithDialOptions passes options to gRPC: interceptors, keep-alive, a tracing stats handler and so on. They win over
// the package's own.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(o *options) { o.extraDialOpts = append(o.extraDialOpts, opts...) }
}

func (o *options) dialOptions(addr string) ([]grpc.DialOption, error) {
	transport, err := o.transport()
	if err != nil {
		return nil, err
	}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageSize)),
	}
	dial = append(dial, o.resilience()...)
	if o.apiKey != "" {
		if strings.ContainsAny(o.apiKey, "\r\n") {
			return nil, errors.New("the API key holds a line break")
		}
		if !o.useTLS && !o.clearTextKey && !local(addr) {
			return nil, errors.New("an API key needs TLS (WithTLS, WithCAFile), since the address is not this machine's")
		}
		dial = append(dial, grpc.WithPerRPCCredentials(bearer{key: o.apiKey, secure: o.useTLS}))
	}
	return append(dial, o.extraDialOpts...), nil
}

func (o *options) transport() (credentials.TransportCredentials, error) {
	if !o.useTLS {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.tls != nil {
		config = o.tls.Clone()
	}
	if o.caFile != "" {
		pem, err := os.ReadFile(o.caFile)
		if err != nil {
			return nil, fmt.Errorf("read certificate authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read certificate authorities: %s holds no PEM certificate", o.caFile)
		}
	}
	if o.certFile != "" || o.keyFile != "" {
		load := func() (*tls.Certificate, error) {
			certificate, err := tls.LoadX509KeyPair(o.certFile, o.keyFile)
			return &certificate, err
		}
		if _, err := load(); err != nil {
			return nil, fmt.Errorf("read the client's certificate: %w", err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return credentials.NewTLS(config), nil
}

// local reports whether a target is certain to stay on this machine.
func local(target string) bool {
	if strings.HasPrefix(target, "unix:") || strings.HasPrefix(target, "unix-abstract:") {
		return true
	}
	endpoint := target[strings.LastIndexByte(target, '/')+1:]
	host, _, err := net.SplitHostPort(endpoint)
	if err != nil {
		host = endpoint
	}
	return loopback.Host(host)
}

// bearer sends an API key as a bearer token.
type bearer struct {
	key    string
	secure bool
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.key}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: a connection that was to have TLS never sends
// the key without it.
func (b bearer) RequireTransportSecurity() bool { return b.secure }

package main

import (
	"errors"
	"io/fs"
	"strings"

	client "github.com/sluiceml/sluice/clients/go"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	"github.com/sluiceml/sluice/server/certificates"
)

// clientFlags say which server to call.
type clientFlags struct {
	Addr    string `help:"Address of the server." default:"127.0.0.1:50051" placeholder:"HOST:PORT"`
	TLSCA   string `help:"Connect with TLS and trust the certificate authorities of this PEM file." name:"tls-ca" placeholder:"FILE"`
	TLSCert string `help:"Client certificate for mutual TLS, PEM." name:"tls-cert" env:"SLUICE_CLIENT_TLS_CERT" placeholder:"FILE"`
	TLSKey  string `help:"Private key of --tls-cert, PEM." name:"tls-key" env:"SLUICE_CLIENT_TLS_KEY" placeholder:"FILE"`
	APIKey  string `help:"API key to send with each call; better set by the variable, since others can see command lines." name:"api-key" placeholder:"KEY"`
}

// connect makes a client. It does no I/O yet.
func (f *clientFlags) connect() (*client.Client, error) {
	for _, scheme := range []string{"http://", "https://"} {
		if rest, isURL := strings.CutPrefix(f.Addr, scheme); isURL {
			return nil, usage.Errorf("--addr must be HOST:PORT, such as %s, not a URL; use --tls-ca for TLS", strings.TrimRight(rest, "/"))
		}
	}
	options := []client.Option{client.WithoutRetry()} // who types a command sees at once what is wrong; a benchmark measures it
	if f.TLSCA != "" {
		options = append(options, client.WithCAFile(f.TLSCA))
	}
	if f.TLSCert != "" || f.TLSKey != "" {
		if f.TLSCert == "" || f.TLSKey == "" {
			return nil, usage.Errorf("--tls-cert and --tls-key belong together")
		}
		// A key that others can read is refused, as the server does with its own; one that is missing is named by who loads it.
		if _, err := certificates.ReadSecret(f.TLSKey); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, usage.Wrap(err)
		}
		options = append(options, client.WithClientCertificateFiles(f.TLSCert, f.TLSKey))
	}
	if f.APIKey != "" {
		options = append(options, client.WithAPIKey(f.APIKey))
	}
	c, err := client.New(f.Addr, options...)
	if err != nil {
		return nil, usage.Wrap(err)
	}
	return c, nil
}

package access

import (
	"errors"
	"fmt"

	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/certificates"
)

// Flags say who may connect and call.
type Flags struct {
	TLSCert       string   `help:"Serve TLS, on all addresses, with the certificate chain of this PEM file; reloaded when it changes." name:"tls-cert" placeholder:"FILE"`
	TLSKey        string   `help:"Private key of --tls-cert, PEM. Other users must not be able to read it." name:"tls-key" placeholder:"FILE"`
	TLSClientCA   string   `help:"Require client certificates issued by these authorities (mutual TLS); probes of the HTTP address need none." name:"tls-client-ca" placeholder:"FILE"`
	TLSClientCRL  string   `help:"Revocation lists of those authorities, PEM; reloaded when the file changes. Clients whose certificate is listed are refused, and so are all clients of an authority whose list has expired." name:"tls-client-crl" placeholder:"FILE"`
	TLSClientID   []string `help:"SPIFFE ID that client certificates must have; repeatable, and /* at the end matches everything below. Default: any certificate." name:"tls-client-id" sep:"," placeholder:"URI"`
	TLSMinVersion string   `help:"Lowest version of TLS to accept: 1.2 or 1.3." name:"tls-min-version" enum:"1.2,1.3" default:"1.2" placeholder:"VERSION"`
	APIKeys       string   `help:"Require an API key of this file for every call except health checks; the file says what each key may do (docs/security.md). Reloaded when it changes." name:"api-keys" placeholder:"FILE"`

	MaxConnections int `help:"Most open connections of the gRPC address and of the HTTP address, each; further ones are closed at once. 0: no limit." default:"4096" placeholder:"N"`
}

// Check returns the faults of the flags.
func (f *Flags) Check() []error {
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

// Policy reads --api-keys; nil without it.
func (f *Flags) Policy() (*auth.Policy, error) {
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

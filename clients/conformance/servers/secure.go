package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// secure makes a certificate and API keys in dir, and the flags of the server that has them.
func secure(ctx context.Context, binary, dir string) (*server, []string, error) {
	ca, cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	policy := filepath.Join(dir, "keys.yaml")
	authority, err := writeCertificate(ca, filepath.Join(dir, "ca.key"), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("make an authority: %w", err)
	}
	if _, err := writeCertificate(cert, key, authority); err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	keys, err := writeKeys(ctx, binary, policy)
	if err != nil {
		return nil, nil, fmt.Errorf("make API keys: %w", err)
	}
	flags := []string{"--tls-cert", cert, "--tls-key", key, "--api-keys", policy}
	return &server{CA: ca, Keys: keys}, flags, nil
}

// certificate is a certificate with its private key.
type certificate struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// writeCertificate writes a certificate of this machine, as server or client, that an authority has signed, and its private
// key. Without one it is its own authority; Rust's TLS takes no such certificate as a server's.
func writeCertificate(certFile, keyFile string, authority *certificate) (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		// Java takes no certificate without a name.
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sluice-conformance"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	made := &certificate{Certificate: template, key: key}
	if authority == nil {
		authority = made
	} else {
		template.SerialNumber, template.Subject.CommonName = big.NewInt(2), "localhost"
		template.IsCA, template.KeyUsage = false, x509.KeyUsageDigitalSignature
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.Certificate, &key.PublicKey, authority.key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	return made, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600)
}

// mutualTLS makes the flags of a server that asks its clients for a certificate, with the server certificate of another one.
// Of itself it asks no more: what keys do is that other server's part.
func mutualTLS(secured *server, secureFlags []string, dir string) (*server, []string, error) {
	s := &server{CA: secured.CA, Cert: filepath.Join(dir, "client.pem"), CertKey: filepath.Join(dir, "client.key")}
	if _, err := writeCertificate(s.Cert, s.CertKey, nil); err != nil {
		return nil, nil, fmt.Errorf("make a client's certificate: %w", err)
	}
	return s, append(slices.Clone(secureFlags[:4]), "--tls-client-ca", s.Cert), nil
}

// spendQuotas makes the calls that use up what the keys with quotas may have. They come back after hours.
func spendQuotas(ctx context.Context, binary string, secured *server) error {
	for key, call := range map[string][]string{
		"spent-requests": {"models"},
		"spent-tokens":   {"generate", "--raw", "--max-tokens", "4", "The capital of France is"},
	} {
		args := slices.Concat(call, []string{"--addr", secured.Addr, "--tls-ca", secured.CA})
		cmd := exec.CommandContext(ctx, binary, args...) //nolint:gosec // as start
		cmd.Env = append(os.Environ(), "SLUICE_API_KEY="+secured.Keys[key])
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", key, err, said)
		}
	}
	return nil
}

// writeKeys writes the server's file of API keys with sluice's own commands, and returns the keys by the cases' names.
func writeKeys(ctx context.Context, binary, file string) (map[string]string, error) {
	keys := map[string]string{}
	policy := bytes.NewBufferString("clients:\n")
	for name, more := range map[string]string{ //nolint:gosec // names, no keys
		"valid":   "",
		"reader":  "  allow: [models, tokenizer]\n",
		"expired": "  expires: 2020-01-01T00:00:00Z\n",
		"wrong":   "", // no entry of the file

		"other-model":    "  models: [other]\n",
		"spent-requests": "  requests: {rate: 0.0001, burst: 1}\n",
		"spent-tokens":   "  tokens: {rate: 0.0001, burst: 1}\n",
	} {
		key, err := exec.CommandContext(ctx, binary, "keys", "new").Output() //nolint:gosec // as start
		if err != nil {
			return nil, err
		}
		keys[name] = strings.TrimSpace(string(key))
		if name == "wrong" {
			continue
		}
		hash := exec.CommandContext(ctx, binary, "keys", "hash", name) //nolint:gosec // as start
		hash.Stdin = bytes.NewReader(key)
		entry, err := hash.Output()
		if err != nil {
			return nil, err
		}
		policy.Write(entry)
		policy.WriteString(more)
	}
	return keys, os.WriteFile(file, policy.Bytes(), 0o600)
}

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// secure makes a certificate and API keys in dir, and the flags of the server that has them.
func secure(ctx context.Context, binary, dir string) (*server, []string, error) {
	cert, key, policy := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "server.key"), filepath.Join(dir, "keys.yaml")
	if err := writeCertificate(cert, key); err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	keys, err := writeKeys(ctx, binary, policy)
	if err != nil {
		return nil, nil, fmt.Errorf("make API keys: %w", err)
	}
	flags := []string{"--tls-cert", cert, "--tls-key", key, "--api-keys", policy}
	return &server{CA: cert, Keys: keys}, flags, nil
}

// writeCertificate writes a certificate of this machine that is its own authority, and its private key.
func writeCertificate(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600)
}

// writeKeys writes the server's file of API keys with sluice's own commands, and returns the keys by the cases' names.
func writeKeys(ctx context.Context, binary, file string) (map[string]string, error) {
	keys := map[string]string{}
	policy := bytes.NewBufferString("clients:\n")
	for name, more := range map[string]string{
		"valid":   "",
		"reader":  "  allow: [models, tokenizer]\n",
		"expired": "  expires: 2020-01-01T00:00:00Z\n",
		"wrong":   "", // no entry of the file
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

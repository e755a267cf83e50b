package sluice_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	sluice "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// selfSigned makes a certificate for 127.0.0.1 and a PEM file of it.
func selfSigned(t *testing.T) (certificate tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestTLS(t *testing.T) {
	t.Parallel()
	certificate, file := selfSigned(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
	sluicev1.RegisterInferenceServiceServer(server, &scripted{generate: func(
		ctx context.Context, _ *sluicev1.GenerateRequest,
	) (*sluicev1.GenerateResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		return &sluicev1.GenerateResponse{Id: strings.Join(md.Get("authorization"), ",")}, nil
	}})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	for name, c := range map[string]struct {
		option sluice.Option
		code   codes.Code
	}{
		"CA file":          {sluice.WithCAFile(file), codes.OK},
		"config":           {sluice.WithTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}), codes.OK},
		"unknown CA":       {sluice.WithTLS(nil), codes.Unavailable},
		"TLS not asked of": {sluice.WithClearTextAPIKey(), codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := sluice.New(listener.Addr().String(), c.option, sluice.WithAPIKey("secret"))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			res, err := client.Generate(t.Context(), sluice.Prompt("x"))
			if status.Code(err) != c.code {
				t.Fatalf("got %v", err)
			}
			if c.code == codes.OK && res.GetId() != "Bearer secret" {
				t.Errorf("the server saw the credentials %q", res.GetId())
			}
		})
	}
}

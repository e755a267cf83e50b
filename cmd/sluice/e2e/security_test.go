package e2e_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/certificates/certtest"
)

// fortress is a server of two models with mutual TLS, SPIFFE IDs and API keys.
type fortress struct {
	*server

	folder    string
	authority *certtest.Authority // of the server and its clients
	keys      map[string]string   // by the client's name
	revoked   tls.Certificate     // is on the authority's list
}

const clientID = "spiffe://example.org/ns/prod/sa/web"

// startFortress starts it. Its files lie in folder: server.pem, server.key, ca.pem, client.pem, client.key, crl.pem,
// keys.yaml.
func startFortress(t *testing.T, arguments ...string) *fortress {
	t.Helper()
	f := &fortress{folder: t.TempDir(), authority: certtest.NewAuthority(t), keys: map[string]string{}}
	f.authority.Issue(t, certtest.Options{}).Write(t, f.folder, "server")
	f.authority.Issue(t, certtest.Options{URIs: []string{clientID}}).Write(t, f.folder, "client")
	certtest.WriteFile(t, f.file("ca.pem"), f.authority.PEM())
	f.revoked = f.authority.Issue(t, certtest.Options{URIs: []string{clientID}}).TLS(t)
	certtest.WriteFile(t, f.file("crl.pem"), f.authority.Revoke(t, time.Now().Add(time.Hour), f.revoked.Leaf))
	for _, name := range []string{"all", "narrow", "scrape", "past", "slow", "revoked"} {
		f.keys[name] = auth.NewKey()
	}
	f.writeKeys(t, "all", "narrow", "scrape", "past", "slow", "revoked")
	f.server = serve(t, nil, append([]string{
		"--model", "small=" + folder, "--model", "large=" + folder,
		"--tls-cert", f.file("server.pem"), "--tls-key", f.file("server.key"),
		"--tls-client-ca", f.file("ca.pem"), "--tls-client-crl", f.file("crl.pem"), "--tls-client-id", "spiffe://example.org/ns/prod/*",
		"--api-keys", f.file("keys.yaml"),
	}, arguments...)...)
	return f
}

func (f *fortress) file(name string) string { return filepath.Join(f.folder, name) }

// writeKeys writes the file of keys with some of the clients.
func (f *fortress) writeKeys(t *testing.T, names ...string) {
	t.Helper()
	text := "clients:\n"
	for _, name := range names {
		hash, err := auth.HashKey(f.keys[name])
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("- {name: %s, tenant: tenant-%s, key_sha256: %s", name, name, hash)
		text += map[string]string{
			"narrow": ", models: [large], allow: [inference]", "scrape": ", allow: [metrics]",
			"past": ", expires: 2020-01-01T00:00:00Z", "slow": ", requests: {rate: 0.001, burst: 1}",
		}[name] + "}\n"
	}
	certtest.WriteFile(t, f.file("keys.yaml"), []byte(text))
}

// tls is the configuration of a client that shows a certificate, whatever authorities the server names.
func (f *fortress) tls(certificate *tls.Certificate) *tls.Config {
	config := &tls.Config{RootCAs: f.authority.Pool(), ServerName: "localhost"}
	if certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return config
}

func issue(t *testing.T, authority *certtest.Authority, options certtest.Options) *tls.Certificate {
	t.Helper()
	certificate := authority.Issue(t, options).TLS(t)
	return &certificate
}

func (f *fortress) dial(t *testing.T, config *tls.Config) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(f.grpc, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// get reads a path of the HTTP address as a client that may read the metrics.
func (f *fortress) get(t *testing.T, path string) (code int, text string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: f.tls(issue(t, f.authority, certtest.Options{URIs: []string{clientID}})),
	}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(deadline(t), http.MethodGet, "https://"+f.http+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+f.keys["scrape"])
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// scrape reads /metrics, and returns the refusals by reason.
func (f *fortress) scrape(t *testing.T) (refusals map[string]int, text string) {
	t.Helper()
	code, text := f.get(t, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("metrics: %d\n%s", code, text)
	}
	refusals = map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^sluice_auth_refusals_total\{.*reason="(\w+)"\} (\d+)`).FindAllStringSubmatch(text, -1) {
		refusals[m[1]], _ = strconv.Atoi(m[2])
	}
	return refusals, text
}

// generate calls Generate and returns the error.
func generate(ctx context.Context, conn grpc.ClientConnInterface, model string) error {
	in := prompt("The capital of France is", greedy(1))
	in.Model = model
	_, err := sluicev1.NewInferenceServiceClient(conn).Generate(ctx, in)
	return err
}

func listServices(ctx context.Context, conn grpc.ClientConnInterface) error {
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return err
	}
	_ = stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	_, err = stream.Recv()
	return err
}

// TestRefusals: every attempt to get in without a right fails with its status, and is counted under its reason.
func TestRefusals(t *testing.T) {
	f := startFortress(t, "--no-reflection")
	now := time.Now()
	id := certtest.Options{URIs: []string{clientID}}
	good := f.dial(t, f.tls(issue(t, f.authority, id)))
	with := func(headers ...string) context.Context {
		return metadata.AppendToOutgoingContext(deadline(t), headers...)
	}
	key := func(name string) context.Context { return with("authorization", "Bearer "+f.keys[name]) }
	handshake := func(certificate *tls.Certificate) func() error {
		return func() error { return generate(key("all"), f.dial(t, f.tls(certificate)), "") }
	}
	if err := generate(key("all"), good, ""); err != nil {
		t.Fatal(err)
	}
	if err := generate(with("x-api-key", f.keys["narrow"]), good, "large"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		code   codes.Code
		reason auth.Reason
		call   func() error
	}{
		{"no key", codes.Unauthenticated, auth.ReasonNoCredentials, func() error { return generate(deadline(t), good, "") }},
		{"wrong key", codes.Unauthenticated, auth.ReasonBadCredentials, func() error {
			return generate(with("authorization", "Bearer "+auth.NewKey()), good, "")
		}},
		{"two keys", codes.Unauthenticated, auth.ReasonBadCredentials, func() error {
			return generate(with("authorization", "Bearer "+f.keys["all"], "x-api-key", f.keys["narrow"]), good, "")
		}},
		{"expired key", codes.Unauthenticated, auth.ReasonExpiredCredentials, func() error { return generate(key("past"), good, "") }},
		{"no certificate", codes.Unavailable, auth.ReasonNoCertificate, handshake(nil)},
		{"wrong CA", codes.Unavailable, auth.ReasonUnknownAuthority, handshake(issue(t, certtest.NewAuthority(t), id))},
		{"expired certificate", codes.Unavailable, auth.ReasonExpiredCertificate, handshake(issue(t, f.authority,
			certtest.Options{URIs: id.URIs, NotAfter: now.Add(-time.Minute)}))},
		{"certificate that is not yet valid", codes.Unavailable, auth.ReasonEarlyCertificate, handshake(issue(t, f.authority,
			certtest.Options{URIs: id.URIs, NotBefore: now.Add(time.Hour)}))},
		{"revoked certificate", codes.Unavailable, auth.ReasonRevokedCertificate, handshake(&f.revoked)},
		{"another identity", codes.Unavailable, auth.ReasonIdentity, handshake(issue(t, f.authority,
			certtest.Options{URIs: []string{"spiffe://example.org/ns/test/sa/web"}}))},
		{"no identity", codes.Unavailable, auth.ReasonIdentity, handshake(issue(t, f.authority, certtest.Options{}))},
		{"no TLS", codes.Unavailable, auth.ReasonHandshake, func() error { return generate(key("all"), f.conn, "") }},
		{"forged tenant", codes.PermissionDenied, auth.ReasonTenant, func() error {
			return generate(with("authorization", "Bearer "+f.keys["all"], "x-sluice-tenant", "tenant-narrow"), good, "")
		}},
		{"another model", codes.PermissionDenied, auth.ReasonModel, func() error { return generate(key("narrow"), good, "small") }},
		{"another model, by its alias", codes.PermissionDenied, auth.ReasonModel, func() error { return generate(key("narrow"), good, "default") }},
		{"a model that nobody serves", codes.PermissionDenied, auth.ReasonModel, func() error { return generate(key("narrow"), good, "huge") }},
		{"method not allowed", codes.PermissionDenied, auth.ReasonMethod, func() error {
			_, err := sluicev1.NewTokenizerServiceClient(good).Tokenize(key("narrow"), &sluicev1.TokenizeRequest{Model: "large", Text: "x"})
			return err
		}},
		{"admin RPC on the public address", codes.PermissionDenied, auth.ReasonMethod, func() error {
			_, err := sluicev1.NewModelServiceClient(good).UnloadModel(key("all"), &sluicev1.UnloadModelRequest{Name: "small"})
			return err
		}},
		{"reflection when off", codes.Unimplemented, auth.ReasonUnknownMethod, func() error { return listServices(key("all"), good) }},
		{"reflection when off, no key", codes.Unauthenticated, auth.ReasonNoCredentials, func() error { return listServices(deadline(t), good) }},
		{"spent quota", codes.ResourceExhausted, auth.ReasonRequestQuota, func() error {
			return errors.Join(generate(key("slow"), good, ""), generate(key("slow"), good, ""))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, _ := f.scrape(t)
			err := c.call()
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				err = joined.Unwrap()[0]
			}
			st := status.Convert(err)
			if st.Code() != c.code {
				t.Fatalf("got %v, want %s", err, c.code)
			}
			for _, detail := range st.Details() {
				if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetReason() != string(c.reason) {
					t.Errorf("the reason is %s, want %s", info.GetReason(), c.reason)
				}
			}
			// gRPC may have tried to connect more than once, and its client may know before the server has counted.
			reason := strings.ToLower(string(c.reason))
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for {
				if after, _ := f.scrape(t); after[reason] > before[reason] {
					break
				} else if ctx.Err() != nil {
					t.Fatalf("%s: %d before, %d after", reason, before[reason], after[reason])
				}
			}
		})
	}
	if code, text := f.get(t, "/openapi.json"); code != http.StatusNotFound {
		t.Errorf("what describes the services by HTTP: %d: %.80s", code, text)
	}
	refusals, metrics := f.scrape(t)
	documented := string(deployed(t, "../docs/security.md"))
	for reason := range refusals {
		if !strings.Contains(documented, "`"+reason+"`") {
			t.Errorf("docs/security.md does not name %s", reason)
		}
	}
	if !strings.Contains(metrics, `tenant="tenant-all"`) || !strings.Contains(metrics, `tenant="tenant-narrow"`) {
		t.Error("the metrics name no tenants")
	}
	for name, key := range f.keys {
		if strings.Contains(f.logged(), key) || strings.Contains(metrics, key) {
			t.Errorf("the key of %s is in the log or the metrics", name)
		}
	}
}

// TestClients goes in by every client that we ship or name, with certificate and key.
func TestClients(t *testing.T) {
	f := startFortress(t)
	ca, cert, key := f.file("ca.pem"), f.file("client.pem"), f.file("client.key")
	run := func(environment []string, name string, arguments ...string) (string, int) {
		t.Helper()
		command := exec.CommandContext(deadline(t), name, arguments...)
		command.Env = append(os.Environ(), environment...)
		output, err := command.CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return string(output), exit.ExitCode()
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(output), 0
	}
	expect := func(what, output string, code, wantCode int, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if code != wantCode || !strings.Contains(output, part) {
				t.Errorf("%s: exit %d, want %d with %q:\n%s", what, code, wantCode, part, output)
			}
		}
	}
	mutual := []string{"--addr", f.grpc, "--tls-ca", ca, "--tls-cert", cert, "--tls-key", key}
	ask := append([]string{"generate", "The capital of France is", "--raw", "--temperature", "0", "--max-tokens", "4"}, mutual...)
	output, code := run([]string{"SLUICE_API_KEY=" + f.keys["all"]}, binary, ask...)
	expect("sluice generate", output, code, 0, "Paris")
	output, code = run(nil, binary, append(ask, "--api-key", f.keys["past"])...)
	expect("an expired key", output, code, 4, "UNAUTHENTICATED", "CREDENTIALS_EXPIRED")
	output, code = run(nil, binary, "models", "--addr", f.grpc, "--tls-ca", ca, "--api-key", f.keys["all"])
	if code != 1 && code != 4 { // the server's alert may be lost to a write that fails first
		t.Errorf("no certificate: exit %d:\n%s", code, output)
	}
	output, code = run(nil, binary, "models", "--addr", f.grpc)
	expect("no TLS", output, code, 1, f.grpc)
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	output, code = run(nil, binary, append([]string{"models", "--api-key", f.keys["all"]}, mutual...)...)
	expect("a key that others can read", output, code, 2, "0644")

	curl := func(arguments ...string) (string, int) {
		return run(nil, tool(t, "grpcurl"), append([]string{"-cacert", ca, "-cert", cert, "-key", key}, arguments...)...)
	}
	output, code = curl("-H", "authorization: Bearer "+f.keys["all"], f.grpc, "list")
	expect("grpcurl list", output, code, 0, "sluice.v1.InferenceService")
	output, code = curl("-H", "x-api-key: "+f.keys["all"], "-d", `{"prompt":"The capital of France is","sampling":{"temperature":0,"max_tokens":4}}`,
		f.grpc, "sluice.v1.InferenceService/Generate")
	expect("grpcurl", output, code, 0, "Paris")
	output, code = curl(f.grpc, "list")
	expect("grpcurl list without a key", output, code, 1, "API key")
	output, code = run(nil, tool(t, "grpc-health-probe"), "-addr", f.grpc, "-tls", "-tls-ca-cert", ca, "-tls-client-cert", cert, "-tls-client-key", key,
		"-tls-server-name", "localhost")
	expect("grpc-health-probe without a key", output, code, 0, "SERVING")

	python, err := filepath.Abs(filepath.Join("..", "..", "..", ".venv", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(python))), "clients", "python", "src")
	script := `import sys
from sluice_client import Client, SluiceError
addr, ca, cert, key, *keys = sys.argv[1:]
for api_key in keys:
    try:
        with Client(addr, tls=ca, tls_cert=cert, tls_key=key, api_key=api_key) as client:
            print(client.generate("The capital of France is", temperature=0, max_tokens=4, timeout=60).text)
    except SluiceError as error:
        print(type(error).__name__, error.reason)
`
	output, code = run([]string{"PYTHONPATH=" + source}, python, "-c", script, f.grpc, ca, cert, key, f.keys["all"], auth.NewKey())
	expect("the Python client", output, code, 0, "Paris", "Unauthenticated CREDENTIALS_INVALID")
}

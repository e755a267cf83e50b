package e2e_test

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/certificates/certtest"
)

// TestReloadedKeys revokes a key by replacing the file, and breaks the file, which must change nothing.
func TestReloadedKeys(t *testing.T) {
	f := startFortress(t)
	conn := f.dial(t, f.tls(issue(t, f.authority, certtest.Options{URIs: []string{clientID}})))
	call := func(name string) codes.Code {
		return status.Code(generate(metadata.AppendToOutgoingContext(deadline(t), "authorization", "Bearer "+f.keys[name]), conn, ""))
	}
	if code := call("revoked"); code != codes.OK {
		t.Fatalf("before: %s", code)
	}
	f.writeKeys(t, "all", "scrape")
	f.await(t, `"reloaded the API keys"`, 1)
	before, _ := f.scrape(t)
	if code := call("revoked"); code != codes.Unauthenticated {
		t.Errorf("a revoked key: %s", code)
	}
	if after, _ := f.scrape(t); after["credentials_invalid"] != before["credentials_invalid"]+1 {
		t.Errorf("the revoked key was counted %d times", after["credentials_invalid"]-before["credentials_invalid"])
	}
	certtest.WriteFile(t, f.file("keys.yaml"), []byte("clients: [{name: x"))
	f.await(t, `"the API keys stay as they were"`, 1)
	if code := call("all"); code != codes.OK {
		t.Errorf("after a faulty file: %s", code)
	}
	f.writeKeys(t, "scrape") // and by hand
	f.signal(syscall.SIGHUP)
	f.await(t, `"reloaded the API keys"`, 2)
	if code := call("all"); code != codes.Unauthenticated {
		t.Errorf("after SIGHUP: %s", code)
	}
}

// await waits until the log has n lines with a text.
func (s *server) await(t *testing.T, text string, n int) {
	t.Helper()
	ctx := deadline(t)
	for strings.Count(s.logged(), text) < n {
		select {
		case <-ctx.Done():
			t.Fatalf("%q is not %d times in the log:\n%s", text, n, s.logged())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestRotatedCertificates renews the server's certificate and the authorities while a stream runs: it ends as if nothing
// had happened, and new connections get what is new.
func TestRotatedCertificates(t *testing.T) {
	f := startFortress(t)
	ctx := metadata.AppendToOutgoingContext(deadline(t), "authorization", "Bearer "+f.keys["all"])
	old := issue(t, f.authority, certtest.Options{URIs: []string{clientID}})
	in := prompt("Tell me a long story.", greedy(200))
	in.Sampling.IgnoreEos = new(true)
	stream, err := sluicev1.NewInferenceServiceClient(f.dial(t, f.tls(old))).GenerateStream(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	renewed := certtest.NewAuthority(t)
	renewed.Issue(t, certtest.Options{}).Write(t, f.folder, "server")
	certtest.WriteFile(t, f.file("crl.pem"), renewed.Revoke(t, time.Now().Add(time.Hour)))
	certtest.WriteFile(t, f.file("ca.pem"), renewed.PEM())
	f.await(t, `"reloaded the certificates"`, 1)

	fresh := &fortress{server: f.server, authority: renewed, keys: f.keys, folder: f.folder}
	if err := generate(ctx, fresh.dial(t, fresh.tls(issue(t, renewed, certtest.Options{URIs: []string{clientID}}))), ""); err != nil {
		t.Errorf("a new client: %v", err)
	}
	if err := generate(ctx, fresh.dial(t, fresh.tls(old)), ""); status.Code(err) != codes.Unavailable {
		t.Errorf("a certificate of the authority that was taken out: %v", err)
	}
	if refusals, _ := fresh.scrape(t); refusals["certificate_untrusted"] == 0 {
		t.Error("it was not counted")
	}
	tokens := uint32(0)
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the running stream: %v", err)
		}
		tokens = max(tokens, event.GetSummary().GetUsage().GetCompletionTokens())
	}
	if tokens != 200 {
		t.Errorf("the running stream ended after %d tokens", tokens)
	}
}

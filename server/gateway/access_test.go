package gateway_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/handshake"
	"github.com/sluiceml/sluice/server/servertest"
)

const completionBody = `{"prompt":"x","max_tokens":1}`

// Keys, rights and quotas hold for every route as they do for gRPC.
func TestKeys(t *testing.T) {
	t.Parallel()
	key, scarce := auth.NewKey(), auth.NewKey()
	d := open(t, servertest.Toy{}, "", guarded(t, `clients:
- {name: models, key_sha256: "`+hash(t, key)+`", allow: [models]}
- {name: scarce, key_sha256: "`+hash(t, scarce)+`", requests: {rate: 0.001, burst: 1}}`))
	for _, c := range []struct {
		name, path, key string
		status          int
		body            string
	}{
		{"none", "/v1/completions", "", 401, `"code":"credentials_missing"`},
		{"wrong", "/v1/completions", auth.NewKey(), 401, `"code":"credentials_invalid"`},
		{"other method", "/v1/completions", key, 403, `"type":"permission_error"`},
		{"none, native", "/sluice.v1.InferenceService/Generate", "", 401, `"code":"unauthenticated"`},
		{"none, the article's", "/generate_text", "", 401, `{"error":"`},
		{"good", "/v1/completions", scarce, 200, `"object":"text_completion"`},
		{"quota", "/v1/completions", scarce, 429, `"code":"request_quota_spent"`},
	} {
		body := completionBody
		if strings.HasPrefix(c.path, "/sluice") {
			body = `{"prompt":"x"}`
		}
		if c.path == "/generate_text" {
			body = `{"prompt":"x"}`
		}
		headers := []string{"Authorization", "Bearer " + c.key}
		if c.key == "" {
			headers = nil
		}
		res, text := d.post(t, c.path, body, headers...)
		if res.StatusCode != c.status || !strings.Contains(text, c.body) {
			t.Errorf("%s: %s: %s", c.name, res.Status, text)
		}
		if c.status == http.StatusTooManyRequests && res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", c.name)
		}
		if c.status == http.StatusUnauthorized && !strings.HasPrefix(c.path, "/sluice") && res.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: no WWW-Authenticate", c.name)
		}
	}
}

// A certificate's identity goes along with a call; what a client says of it itself does not, by HTTP or by gRPC.
func TestIdentities(t *testing.T) {
	t.Parallel()
	const id = "spiffe://test/one"
	policy := guarded(t, `clients: [{name: one, spiffe_id: "`+id+`"}]`)
	proved, unproved := open(t, servertest.Toy{}, id, policy), open(t, servertest.Toy{}, "", policy)
	for _, path := range []string{"/v1/completions", "/sluice.v1.InferenceService/Generate"} {
		body := completionBody
		if strings.HasPrefix(path, "/sluice") {
			body = `{"prompt":"x"}`
		}
		if res, text := proved.post(t, path, body); res.StatusCode != http.StatusOK {
			t.Errorf("%s: proved: %s: %s", path, res.Status, text)
		}
		if res, text := unproved.post(t, path, body, handshake.IdentityHeader, id); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: claimed: %s: %s", path, res.Status, text)
		}
	}
}

// The line of a call names the address of the HTTP client, whatever a client says of it itself.
func TestCallersAreLogged(t *testing.T) {
	t.Parallel()
	key, claimed := auth.NewKey(), []string{handshake.PeerHeader, "192.0.2.1:1"}
	policy := guarded(t, `clients: [{name: a, key_sha256: "`+hash(t, key)+`"}]`)
	for path, body := range map[string]string{"/v1/completions": completionBody, "/sluice.v1.InferenceService/Generate": `{"prompt":"x"}`} {
		d := open(t, servertest.Toy{}, "", policy)
		d.post(t, path, body, append([]string{"Authorization", "Bearer " + key}, claimed...)...)
		if text := d.Log.String(); !strings.Contains(text, `msg="finished call"`) || !strings.Contains(text, "peer.address=127.0.0.1:") ||
			strings.Contains(text, claimed[1]) || strings.Contains(text, "bufconn") {
			t.Errorf("%s: %s", path, text)
		}
	}
	d := open(t, servertest.Toy{}, "", policy)
	ctx := metadata.AppendToOutgoingContext(t.Context(), append(claimed, "authorization", "Bearer "+key)...)
	if _, err := d.native.Generate(ctx, &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Prompt{Prompt: "x"}}); err != nil {
		t.Error(err)
	}
	if text := d.Log.String(); strings.Contains(text, claimed[1]) {
		t.Errorf("gRPC: %s", text)
	}
}

// A hundred refused calls close a client's own connection, but not the one that all callers of the gateway share.
func TestRefusalsHurtNobodyElse(t *testing.T) {
	t.Parallel()
	key := auth.NewKey()
	d := open(t, servertest.Toy{Session: slow()}, "", guarded(t, `clients: [{name: a, key_sha256: "`+hash(t, key)+`"}]`))
	done := make(chan string, 1)
	go func() {
		_, text := d.post(t, "/v1/completions", `{"prompt":"x","max_tokens":200,"ignore_eos":true}`, "Authorization", "Bearer "+key)
		done <- text
	}()
	for range 150 {
		if res, _ := d.post(t, "/v1/completions", completionBody); res.StatusCode != http.StatusUnauthorized {
			t.Fatal(res.Status)
		}
	}
	if text := <-done; !strings.Contains(text, `"finish_reason":"length"`) {
		t.Error(text)
	}
}

func hash(t *testing.T, key string) string {
	t.Helper()
	sum, err := auth.HashKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// Who has no key is told before the body is read: it may be large, and costs much to decode.
func TestRefusedBeforeTheBody(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "", guarded(t, `clients: [{name: a, key_sha256: "`+hash(t, auth.NewKey())+`"}]`))
	for _, path := range []string{"/v1/completions", "/v1/chat/completions", "/generate_text", "/sluice.v1.InferenceService/Generate"} {
		body, never := io.Pipe() // nobody writes
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if _ = res.Body.Close(); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", path, res.Status)
		}
		_ = never.Close()
	}
}

// A body that is small and becomes huge is refused at the size that an uncompressed one may have.
func TestGzipBomb(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	var bomb bytes.Buffer
	compressor := gzip.NewWriter(&bomb)
	fmt.Fprint(compressor, `{"prompt":"`)
	for range 256 {
		fmt.Fprint(compressor, strings.Repeat("x", 1<<20))
	}
	fmt.Fprint(compressor, `"}`)
	if err := compressor.Close(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	res, text := d.post(t, "/sluice.v1.InferenceService/Generate", bomb.String(), "Content-Encoding", "gzip")
	runtime.ReadMemStats(&after)
	if res.StatusCode < 400 || res.StatusCode >= 600 {
		t.Errorf("%s: %s", res.Status, text)
	}
	if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 150 {
		t.Errorf("%d bytes took %d MiB", bomb.Len(), took)
	}
	compressed := &bytes.Buffer{}
	compressor = gzip.NewWriter(compressed)
	fmt.Fprint(compressor, `{"prompt":"x"}`)
	_ = compressor.Close()
	if res, text := d.post(t, "/sluice.v1.InferenceService/Generate", compressed.String(), "Content-Encoding", "gzip"); res.StatusCode != http.StatusOK {
		t.Errorf("an honest one: %s: %s", res.Status, text)
	}
}

// What the head of a message declares takes no memory until it comes. It is not parallel: it counts what the process takes.
func TestDeclaredLengths(t *testing.T) {
	d := open(t, servertest.Toy{}, "")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, kind := range []string{"application/connect+json", "application/grpc-web+json"} { // which the transcoder reads whole
		for _, c := range []struct{ name, body string }{
			{"a message that declares more than there is", "\x00\x00\xff\xff\xffshort"},
			{"half a head", "\x00\x00"},
			{"a message after an empty one", "\x00\x00\x00\x00\x00" + "\x00\x00\xff\xff\xff"},
		} {
			for range 8 {
				res, text := d.do(t, http.MethodPost, "/sluice.v1.InferenceService/GenerateStream", c.body, "Content-Type", kind)
				const message = "the request ends in the middle of a message"
				connect := strings.Contains(text, `"code":"invalid_argument","message":"`+message+`"`)
				if web := res.Header.Get("Grpc-Status") == "3" && res.Header.Get("Grpc-Message") == message; !connect && !web { // INVALID_ARGUMENT
					t.Errorf("%s, %s: %s, %v: %q", kind, c.name, res.Status, res.Header, text)
				}
			}
		}
	}
	runtime.ReadMemStats(&after)
	if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 8 { // room for one of those that declare 16 MiB would be more
		t.Errorf("took %d MiB", took)
	}
}

// Nothing is read for a method that does not exist.
func TestNoSuchMethod(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	for kind, status := range map[string]int{"application/json": http.StatusNotImplemented, "application/grpc-web+proto": http.StatusOK} {
		body, never := io.Pipe() // nobody writes
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+"/sluice.v1.InferenceService/Guess", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		said := strings.HasPrefix(string(text), `{"code":"unimplemented"`) || res.Header.Get("Grpc-Status") == "12" // UNIMPLEMENTED
		if res.StatusCode != status || !said {
			t.Errorf("%s: %s, %v: %q", kind, res.Status, res.Header, text)
		}
		_ = never.Close()
	}
}

// Requests that come in slowly have a bound together, of what has come and not of what is declared; beyond it there is a 503, and
// room again once they have gone.
func TestManyBodies(t *testing.T) {
	t.Parallel()
	const requests, part = 16, 16 << 10
	d := open(t, servertest.Toy{}, "")
	d.gateway.BoundBodies(requests * part)
	var bodies []*io.PipeWriter
	var answers []chan int
	const head = `{"prompt":"x",`
	for range requests {
		body, writer := io.Pipe()
		bodies = append(bodies, writer)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+"/v1/completions", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		answer := make(chan int, 1)
		answers = append(answers, answer)
		go func() {
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				answer <- 0
				return
			}
			_ = res.Body.Close()
			answer <- res.StatusCode
		}()
		if _, err := io.WriteString(writer, head); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/v1/completions", "/sluice.v1.InferenceService/Generate"} {
		if res, text := d.post(t, path, `{"prompt":"x"}`); res.StatusCode != http.StatusOK {
			t.Errorf("bodies that have hardly begun keep others out of %s: %s: %s", path, res.Status, text)
		}
	}
	for _, writer := range bodies {
		if _, err := io.WriteString(writer, strings.Repeat(" ", part-len(head))); err != nil {
			t.Fatal(err)
		}
	}
	d.waitBodies(t, 0)
	// Each API says so in the form of its errors.
	const generate, stream = "/sluice.v1.InferenceService/Generate", "/sluice.v1.InferenceService/GenerateStream"
	for _, c := range []struct{ path, kind, accept, want string }{
		{"/v1/completions", "application/json", "", `{"error":`},
		{"/v1/chat/completions", "application/json", "", `{"error":{"message":"too many large requests come in at once","type":"server_error","param":null,"code":"overloaded"}}`},
		{"/generate_text", "application/json", "", `{"error":"too many large requests come in at once"}`},
		{generate, "application/json", "", `{"code":"unavailable","message":"too many large requests come in at once","details":[{"type":"google.rpc.ErrorInfo",`},
		{stream, "application/json", "text/event-stream", `{"code":"unavailable",`},
	} {
		res, text := d.do(t, http.MethodPost, c.path, completionBody, "Content-Type", c.kind, "Accept", c.accept)
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" || !strings.HasPrefix(text, c.want) {
			t.Errorf("%s: %s, %v: %s", c.path, res.Status, res.Header, text)
		}
	}
	res, text := d.do(t, http.MethodPost, generate, "\x00\x00\x00\x00\x00", "Content-Type", "application/grpc-web+proto")
	if res.StatusCode != http.StatusOK || res.Header.Get("Grpc-Status") != "14" || res.Header.Get("Grpc-Retry-Pushback-Ms") != "1000" { // UNAVAILABLE
		t.Errorf("gRPC-Web: %s, %v: %q", res.Status, res.Header, text)
	}
	// One that outgrows what is left is refused, though the others go on.
	go func() { _, _ = io.WriteString(bodies[0], " ") }()
	if got := <-answers[0]; got != http.StatusServiceUnavailable {
		t.Errorf("a body for which there is no room: %d", got)
	}
	_ = bodies[0].Close()
	d.waitBodies(t, part) // the answer may come before
	for i, writer := range bodies[1:] {
		_, _ = io.WriteString(writer, `"max_tokens":1}`)
		_ = writer.Close()
		if got := <-answers[1+i]; got != http.StatusOK {
			t.Errorf("body %d: %d", 1+i, got)
		}
	}
	if res, text := d.post(t, "/v1/completions", completionBody); res.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", res.Status, text)
	}
}

// waitBodies waits until so many bytes of the bound of requests that come in are left.
func (d *door) waitBodies(t *testing.T, left int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for d.gateway.BodiesLeft() != left {
		select {
		case <-ctx.Done():
			t.Fatalf("%d bytes are left, want %d", d.gateway.BodiesLeft(), left)
		case <-time.After(time.Millisecond):
		}
	}
}

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// serveOpenAI is a real HTTP server with a handler of the test's, and a target of it.
func serveOpenAI(t *testing.T, handler http.HandlerFunc) *OpenAI {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL + "/v1")
	if err != nil {
		t.Fatal(err)
	}
	return &OpenAI{
		Base: base, HTTP: NewHTTPClient(&http.Transport{}), Key: "sesame", Model: "m",
		Temperature: 0.5, IgnoreEOS: true,
	}
}

// say is a handler that sends a stream.
func say(parts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, part := range parts {
			_, _ = io.WriteString(w, part)
			w.(http.Flusher).Flush()
		}
	}
}

func generate(t *testing.T, target *OpenAI) (Usage, []int, error) {
	t.Helper()
	var deltas []int
	usage, err := target.Generate(t.Context(), Request{Text: "time year", MaxTokens: 3}, func(n int) {
		if n > 0 {
			deltas = append(deltas, n)
		}
	})
	return usage, deltas, err
}

func TestOpenAIRequest(t *testing.T) {
	t.Parallel()
	var got struct {
		method, path, key string
		body              map[string]any
	}
	target := serveOpenAI(t, func(w http.ResponseWriter, r *http.Request) {
		got.body = nil
		got.method, got.path, got.key = r.Method, r.URL.Path, r.Header.Get("Authorization")
		if err := json.NewDecoder(r.Body).Decode(&got.body); err != nil {
			t.Error(err)
		}
		say("data: {\"choices\":[{\"text\":\"x\",\"finish_reason\":\"length\"}]}\n\n")(w, r)
	})
	if _, _, err := generate(t, target); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"model": "m", "prompt": "time year", "max_tokens": 3.0, "temperature": 0.5, "stream": true, "ignore_eos": true,
		"stream_options": map[string]any{"include_usage": true},
	}
	if diff := cmp.Diff(want, got.body); diff != "" || got.method != http.MethodPost || got.path != "/v1/completions" ||
		got.key != "Bearer sesame" {
		t.Errorf("%s %s, %s: %s", got.method, got.path, got.key, diff)
	}
	target.IgnoreEOS = false
	if _, err := target.Generate(t.Context(), Request{IDs: []uint32{5, 6}, MaxTokens: 3}, func(int) {}); err != nil {
		t.Fatal(err)
	}
	want["prompt"] = []any{5.0, 6.0}
	delete(want, "ignore_eos")
	if diff := cmp.Diff(want, got.body); diff != "" {
		t.Error(diff)
	}
}

func TestOpenAIStreams(t *testing.T) {
	t.Parallel()
	const done = "data: [DONE]\n\n"
	text := func(s string) string {
		return fmt.Sprintf("data: {\"choices\":[{\"text\":%q,\"finish_reason\":null}]}\n\n", s)
	}
	for _, c := range []struct {
		name   string
		stream []string
		usage  Usage
		deltas []int
	}{
		{
			"as vLLM has it, usage at the end",
			[]string{
				text("a"), text("b"), "data: {\"choices\":[{\"text\":\"c\",\"finish_reason\":\"length\"}]}\n\n",
				"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":1}}}\n\n", done,
			},
			Usage{Known: true, PromptTokens: 2, CompletionTokens: 3, CachedTokens: 1},
			[]int{1, 1, 1},
		},
		{
			"as llama-server has it, usage in an empty last chunk",
			[]string{
				text("a"), text("b"), text("c"),
				"data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}}\n\n", done,
			},
			Usage{Known: true, PromptTokens: 2, CompletionTokens: 3},
			[]int{1, 1, 1},
		},
		{
			"usage so far with each chunk",
			[]string{
				"data: {\"choices\":[{\"text\":\"ab\"}],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":2}}\n\n",
				"data: {\"choices\":[{\"text\":\"cde\"}],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":5}}\n\n", done,
			},
			Usage{Known: true, PromptTokens: 2, CompletionTokens: 5},
			[]int{2, 3},
		},
		{"no usage, no [DONE]", []string{text("a"), "data: {\"choices\":[{\"text\":\"b\",\"finish_reason\":\"stop\"}]}\n\n"}, Usage{}, []int{1, 1}},
		{"empty chunks and pings", []string{": ping\n\n", text(""), text("a"), ": ping\n\n", done}, Usage{}, []int{1}},
		{"an event in pieces", []string{"da", "ta: {\"choices\":[{\"te", "xt\":\"a\"}]}\n", "\n", done}, Usage{}, []int{1}},
		{"null where there is nothing", []string{"data: {\"choices\":null,\"usage\":null,\"error\":null}\n\n", text("a"), done}, Usage{}, []int{1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			usage, deltas, err := generate(t, serveOpenAI(t, say(c.stream...)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.usage, usage) + cmp.Diff(c.deltas, deltas); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOpenAIFailures(t *testing.T) {
	t.Parallel()
	refuse := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://192.0.2.1/")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, c := range []struct {
		name, status, text string
		handler            http.HandlerFunc
	}{
		{"busy", "HTTP 503", "no room", refuse(http.StatusServiceUnavailable, "no room\n")},
		{"bad request", "HTTP 400", "max_tokens", refuse(http.StatusBadRequest, "{\"error\":\"max_tokens\"}")},
		{"a redirect is not followed", "HTTP 302", "", refuse(http.StatusFound, "")},
		{"no content", "HTTP 204", "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }},
		{"a long refusal", "HTTP 500", "…", refuse(http.StatusInternalServerError, strings.Repeat("\x1b[31m", 1<<20))},
		{"an error in the stream", "BAD STREAM", "out of memory", say("data: {\"error\":{\"message\":\"out of memory\"}}\n\n")},
		{"cut off", "BAD STREAM", "ended early", say("data: {\"choices\":[{\"text\":\"a\"}]}\n\n")},
		{"nothing", "BAD STREAM", "ended early", say()},
		{"a page", "BAD STREAM", "ended early", say("<html>hello</html>\n\n")},
		{"no JSON", "BAD STREAM", "no chunk", say("data: hello\n\n")},
		{"other JSON", "BAD STREAM", "no chunk", say("data: {\"choices\":[{\"text\":3}]}\n\n")},
		{"absurd usage", "BAD STREAM", "absurd", say("data: {\"usage\":{\"completion_tokens\":-5}}\n\n")},
		{"an endless event", "BAD STREAM", "longer than", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("data: x\n", 1000)); err != nil {
					return
				}
			}
		}},
		{"hangs up", "TRANSPORT", "", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := generate(t, serveOpenAI(t, c.handler))
			failure, ok := errors.AsType[*FailureError](err)
			if !ok || failure.Status != c.status || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %s with %q", err, c.status, c.text)
			}
			if err != nil && (len(err.Error()) > 1000 || strings.Contains(err.Error(), "\x1b")) {
				t.Errorf("an error of %d bytes: %.100q", len(err.Error()), err)
			}
		})
	}
}

func TestOpenAITimeout(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{"before the headers": "", "in the stream": "data: {\"choices\":[{\"text\":\"a\"}]}\n\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := serveOpenAI(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // the server notices that the client is gone only then
				if before != "" {
					say(before)(w, r)
				}
				<-r.Context().Done()
			})
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := target.Generate(ctx, Request{Text: "x", MaxTokens: 3}, func(int) {})
			if failure, ok := errors.AsType[*FailureError](err); !ok || failure.Status != "TIMEOUT" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestOpenAIUnderLoad(t *testing.T) {
	t.Parallel()
	target := serveOpenAI(t, func(w http.ResponseWriter, r *http.Request) {
		var body completionRequest
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		for range body.MaxTokens {
			say("data: {\"choices\":[{\"text\":\"a\"}]}\n\n")(w, r)
		}
		say(fmt.Sprintf("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":%d}}\n\ndata: [DONE]\n\n", body.MaxTokens))(w, r)
	})
	o := fixed(Load{Streams: 1}, Load{Streams: 8})
	o.Workload.Form, o.Warmup = Words, -1
	for _, l := range run(t.Context(), t, target, o) {
		if want := max(16, 8*l.Streams); l.OK != want || l.OutputTokens != int64(5*want) || l.PromptTokens != int64(10*want) || l.Short != 0 {
			t.Errorf("%+v", l)
		}
	}
}

// TestOpenAIIdleConnections: a server that hangs up idle connections just when they are used again costs no request.
func TestOpenAIIdleConnections(t *testing.T) {
	t.Parallel()
	used := map[string]bool{} // the requests come one after the other
	target := serveOpenAI(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Values("Idempotency-Key") != nil {
			t.Error("the server sees the key")
		}
		if used[r.RemoteAddr] {
			panic(http.ErrAbortHandler)
		}
		used[r.RemoteAddr] = true
		say("data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":\"stop\"}]}\n\n", "data: [DONE]\n\n")(w, r)
	})
	for range 5 {
		if _, _, err := generate(t, target); err != nil {
			t.Error(err)
		}
	}
	if len(used) != 5 {
		t.Errorf("%d connections", len(used))
	}
}

func TestOpenAIFirstModel(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"data":[{"id":"a"},{"id":"b"}]}`: "a", `{"data":[]}`: "", `no`: "", strings.Repeat(" ", 2<<20) + `{"data":[{"id":"a"}]}`: "",
	} {
		target := serveOpenAI(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/models" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			_, _ = io.WriteString(w, body)
		})
		if got, err := target.FirstModel(t.Context()); got != want || (err == nil) != (want != "") {
			t.Errorf("%.40q: %q, %v", body, got, err)
		}
	}
}

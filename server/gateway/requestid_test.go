package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/gateway"
	"github.com/sluiceml/sluice/server/servertest"
)

// TestRequestID: a caller's name for a request is that of the answer, whole, streamed or refused. Without one, or with one that is
// none, the gateway's is.
func TestRequestID(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	const header = "X-Request-ID"
	post := func(path, body, id string) (reply, string) {
		return d.do(t, http.MethodPost, path, body, "Content-Type", "application/json", header, id)
	}
	for path, body := range map[string]string{
		"/v1/completions":      `{"prompt":["one","two"],"max_tokens":2`,
		"/v1/chat/completions": `{"messages":[{"role":"user","content":"one"}],"max_tokens":2`,
	} {
		for _, end := range []string{`}`, `,"stream":true}`} {
			res, text := post(path, body+end, "edge-1")
			if res.Header.Get(header) != "edge-1" || !strings.Contains(text, `"id":"edge-1"`) {
				t.Errorf("%s %s: %q: %s", path, end, res.Header.Get(header), text)
			}
			for _, id := range []string{"", "Zürich", strings.Repeat("x", 129)} {
				res, text = post(path, body+end, id)
				made := res.Header.Get(header)
				if res.StatusCode != http.StatusOK || !strings.HasPrefix(made, "req-") || !strings.Contains(text, `"id":"`+made+`"`) {
					t.Errorf("%s %s, %q: %s, %q: %s", path, end, id, res.Status, made, text)
				}
			}
		}
		if res, _ := post(path, `{"temperature":9}`, "edge-2"); res.Header.Get(header) != "edge-2" {
			t.Errorf("%s refused: %q", path, res.Header.Get(header))
		}
	}
}

// TestEveryAnswerHasAnID: one of any route, one that is refused before its route is known, and one that has no route.
func TestEveryAnswerHasAnID(t *testing.T) {
	t.Parallel()
	const header, generate, stream = "X-Request-ID", "/sluice.v1.InferenceService/Generate", "/sluice.v1.InferenceService/GenerateStream"
	d := openAs(t, gateway.Config{Hosts: &gateway.Hosts{}}, servertest.Toy{}, "")
	closed := open(t, servertest.Toy{}, "", guarded(t, `clients: [{name: a, key_sha256: "`+hash(t, auth.NewKey())+`"}]`))
	for _, c := range []struct {
		door                       *door
		method, path, body, accept string
		status                     int
	}{
		{d, "POST", "/v1/embeddings", `{"input":"x"}`, "", 400}, // the toy gives none
		{d, "POST", "/generate_text", `{"prompt":"x"}`, "", 200},
		{d, "POST", generate, `{"prompt":"x"}`, "", 200},
		{d, "POST", stream, `{"prompt":"x"}`, "text/event-stream", 200},
		{d, "POST", stream, `{"prompt":""}`, "text/event-stream", 400},
		{d, "POST", generate, `[]`, "", 400},
		{d, "GET", generate, "", "", 405},
		{d, "GET", "/v1/models", "", "", 200},
		{d, "GET", "/", "", "", 200},
		{d, "GET", "/none", "", "", 404},
		{d, "DELETE", "/v1/models", "", "", 405},
		{d, "POST", "/v1/completions", `{`, "", 400},
		{closed, "POST", "/v1/completions", `{}`, "", 401},
		{closed, "POST", generate, `{}`, "", 401},
	} {
		kind := []string{"Content-Type", "application/json", "Accept", c.accept}
		named, text := c.door.do(t, c.method, c.path, c.body, append(kind, header, "edge-1")...)
		if named.StatusCode != c.status || named.Header.Get(header) != "edge-1" {
			t.Errorf("%s %s %s: %s, %q: %s", c.method, c.path, c.body, named.Status, named.Header.Get(header), text)
		}
		one, _ := c.door.do(t, c.method, c.path, c.body, kind...)
		other, _ := c.door.do(t, c.method, c.path, c.body, kind...)
		if a, b := one.Header.Get(header), other.Header.Get(header); !strings.HasPrefix(a, "req-") || a == b {
			t.Errorf("%s %s %s: made %q and %q", c.method, c.path, c.body, a, b)
		}
	}
	_, text := d.post(t, stream, `{"prompt":"x"}`, "Accept", "text/event-stream", header, "edge-2")
	if !strings.Contains(text, `"id":"edge-2"`) {
		t.Errorf("events: %s", text)
	}
	res, _ := d.post(t, stream, `{"prompt":"x","requestId":"mine"}`, "Accept", "text/event-stream", header, "edge-2")
	if got := res.Header.Get(header); got != "mine" {
		t.Errorf("events with an id of their own: %q", got)
	}
	for _, stranger := range []string{"evil.example", ""} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/models", nil)
		r.Host = stranger
		if d.gateway.ServeHTTP(w, r); w.Header().Get(header) == "" {
			t.Errorf("host %q: %d without an id", stranger, w.Code)
		}
	}
}

// TestPromptsHaveIDs: the prompts of one completion are told apart in the log.
func TestPromptsHaveIDs(t *testing.T) {
	t.Parallel()
	for part, want := range []string{"edge-1", "edge-2", "edge-3"} {
		if got := gateway.PartID("edge", part, 3); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := gateway.PartID("edge", 0, 1); got != "edge" {
		t.Errorf("a prompt alone: %q", got)
	}
	if got := gateway.PartID(strings.Repeat("x", 128), 127, 128); got != strings.Repeat("x", 124)+"-128" {
		t.Errorf("a long name: %q", got)
	}
}

// TestInstead: a field that other servers have and this one has by another name is refused with that name.
func TestInstead(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	const chat, completions, embeddings = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
	for _, c := range []struct{ path, field, see string }{
		{chat, "guided_json", ": see structured_outputs.json"},
		{chat, "functions", ": see tools"},
		{chat, "reasoning_effort", ": see chat_template_kwargs and thinking_token_budget"},
		{chat, "n_predict", ": see max_tokens"},
		{chat, "frobnicate", ""},
		{completions, "guided_json", ": see structured_outputs.json"},
		{completions, "n_predict", ": see max_tokens"},
		{completions, "functions", ""}, // it has no tools
		{completions, "reasoning_effort", ""},
		{embeddings, "n_predict", ""},
		{"/generate_text", "n_predict", ""},
	} {
		_, text := d.post(t, c.path, `{"`+c.field+`":{}}`)
		if want := `"` + c.field + " is not supported" + c.see + `"`; !strings.Contains(text, want) {
			t.Errorf("%s, %s: %s, want %s", c.path, c.field, text, want)
		}
	}
}

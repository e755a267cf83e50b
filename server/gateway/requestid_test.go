package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/server/servertest"
)

// TestRequestID: a caller's name for a request is that of the answer, whole, streamed or refused. Without one, or with one that is
// none, the server's is.
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
				if res.StatusCode != http.StatusOK || !strings.HasPrefix(made, "gen-") || !strings.Contains(text, `"id":"`+made+`"`) {
					t.Errorf("%s %s, %q: %s, %q: %s", path, end, id, res.Status, made, text)
				}
			}
		}
		if res, _ := post(path, `{"temperature":9}`, "edge-2"); res.Header.Get(header) != "edge-2" {
			t.Errorf("%s refused: %q", path, res.Header.Get(header))
		}
	}
}

// TestInstead: a field that other servers have and this one has by another name is refused with that name.
func TestInstead(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	for field, want := range map[string]string{
		"guided_json": "guided_json is not supported: see structured_outputs.json", "functions": "functions is not supported: see tools",
		"frobnicate": "frobnicate is not supported",
	} {
		_, text := d.do(t, http.MethodPost, "/v1/chat/completions", `{"messages":[],"`+field+`":{}}`, "Content-Type", "application/json")
		var answer struct{ Error struct{ Message string } }
		if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Error.Message != want {
			t.Errorf("%s: %v, %s", field, err, text)
		}
	}
}

package gateway_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/gateway"
	"github.com/sluiceml/sluice/server/servertest"
)

// Anyone may have the playground; its calls need the key that any call needs.
func TestPlayground(t *testing.T) {
	t.Parallel()
	key := auth.NewKey()
	d := open(t, servertest.Toy{}, "", guarded(t, `clients: [{name: a, key_sha256: "`+hash(t, key)+`"}]`))
	for path, want := range map[string]string{"/": "<title>Sluice playground</title>", "/playground/app.js": "import", "/playground/style.css": ":root"} {
		res, text := d.do(t, http.MethodGet, path, "")
		if res.StatusCode != http.StatusOK || !strings.Contains(text, want) || res.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %s: %.80s", path, res.Status, text)
		}
	}
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodHead, "/", http.StatusOK},
		{http.MethodPost, "/", http.StatusMethodNotAllowed},
		{http.MethodGet, "/playground/none.js", http.StatusNotFound},
		{http.MethodGet, "/other", http.StatusNotFound},
	} {
		if res, _ := d.do(t, c.method, c.path, ""); res.StatusCode != c.status {
			t.Errorf("%s %s: %s", c.method, c.path, res.Status)
		}
	}
	const list = "/sluice.v1.ModelService/ListModels"
	if res, text := d.post(t, list, "{}"); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a key: %s: %s", res.Status, text)
	}
	if res, text := d.post(t, list, "{}", "Authorization", "Bearer "+key); res.StatusCode != http.StatusOK || !strings.Contains(text, `"models"`) {
		t.Errorf("with the key: %s: %s", res.Status, text)
	}
}

// A copy of a file that is kept depends on who asks for it, and on how he takes it.
func TestPlaygroundVaries(t *testing.T) {
	t.Parallel()
	d := openTo(t, []string{"https://example.org"}, servertest.Toy{}, "")
	for _, path := range []string{"/", "/playground/app.js"} {
		res, _ := d.do(t, http.MethodGet, path, "", "Origin", "https://example.org")
		if got := strings.Join(res.Header.Values("Vary"), ", "); !strings.Contains(got, "Origin") || !strings.Contains(got, "Accept-Encoding") {
			t.Errorf("%s varies by %q", path, got)
		}
	}
}

// A gateway without the playground has nothing at its paths.
func TestNoPlayground(t *testing.T) {
	t.Parallel()
	g, err := gateway.New(gateway.Config{
		Dial:         func(context.Context) (net.Conn, error) { return nil, errors.ErrUnsupported },
		NoPlayground: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close() //nolint:errcheck // it has no connections
	for _, path := range []string{"/", "/playground/app.js"} {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: %d: %s", path, w.Code, w.Body)
		}
	}
}

// A page of another origin can make no call: what it may post without asking is refused, and who asks gets no leave.
func TestOtherOrigins(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	for _, path := range []string{
		"/v1/completions", "/v1/chat/completions", "/generate_text", "/sluice.v1.InferenceService/Generate",
		"/sluice.v1.InferenceService/GenerateStream", "/sluice.v1.TokenizerService/Tokenize",
	} {
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""} { // those of forms
			res, text := d.do(t, http.MethodPost, path, `{"prompt":"x"}`, "Content-Type", kind, "Accept", "text/event-stream", "Origin", "https://other.example")
			if res.StatusCode < 400 || res.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s as %q: %s: %s", path, kind, res.Status, text)
			}
		}
		res, _ := d.do(t, http.MethodOptions, path, "", "Origin", "https://other.example",
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
		for name := range res.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: a preflight is answered: %s: %s", path, name, res.Header.Get(name))
			}
		}
	}
}

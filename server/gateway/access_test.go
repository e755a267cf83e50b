package gateway_test

import (
	"net/http"
	"strings"
	"testing"

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

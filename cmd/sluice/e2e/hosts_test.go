package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/certificates/certtest"
)

// ask asks the HTTP address for something in the name of a host, and returns the status.
func (s *server) ask(path, host, key string) int {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.http+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Host = host
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body) // whatever it is
	return response.StatusCode
}

// TestHosts: a server that takes calls without a key answers to no name that another site could have (DNS rebinding);
// probes and metrics answer to any.
func TestHosts(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, "--model", "small="+folder, "--http-host", "models.example.org")
	const foreign = "rebound.example:8080"
	for path, want := range map[string]int{
		"/": http.StatusForbidden, "/v1/models": http.StatusForbidden, "/livez": http.StatusOK, "/metrics": http.StatusOK,
	} {
		if got := s.ask(path, foreign, ""); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	for _, host := range []string{s.http, strings.Replace(s.http, "127.0.0.1", "localhost", 1), "models.example.org"} {
		if got := s.ask("/v1/models", host, ""); got != http.StatusOK {
			t.Errorf("%s: %d", host, got)
		}
	}
}

// TestHostsOfOpenKeys: a file of keys that lets anyone call protects nobody from a rebound name, and one that does not has
// no need of names; the file in force counts.
func TestHostsOfOpenKeys(t *testing.T) {
	t.Parallel()
	key := auth.NewKey()
	hash, err := auth.HashKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys.yaml")
	write := func(open string) {
		t.Helper()
		certtest.WriteFile(t, keys, fmt.Appendf(nil, "open: [%s]\nclients: [{name: a, key_sha256: %s}]\n", open, hash))
	}
	write("health, models, inference")
	s := serve(t, nil, "--model", "small="+folder, "--api-keys", keys)
	const foreign = "rebound.example:8080"
	for _, shown := range []string{"", key} {
		if got := s.ask("/v1/models", foreign, shown); got != http.StatusForbidden {
			t.Errorf("anyone may call: %d", got)
		}
	}
	if got := s.ask("/v1/models", s.http, ""); got != http.StatusOK {
		t.Errorf("by the address: %d", got)
	}
	write("health, metrics")
	s.await(t, `"reloaded the API keys"`, 1)
	if got := s.ask("/v1/models", foreign, ""); got != http.StatusUnauthorized {
		t.Errorf("a key is needed: %d", got)
	}
	if got := s.ask("/v1/models", foreign, key); got != http.StatusOK {
		t.Errorf("with a key: %d", got)
	}
}

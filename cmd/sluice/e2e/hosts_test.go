package e2e_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
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

// TestHosts: a server that asks for no key answers to no name that another site could have (DNS rebinding); probes and metrics
// answer to any.
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

package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/server/gateway"
	"github.com/sluiceml/sluice/server/servertest"
)

// as asks for something in the name of a host.
func (d *door) as(t *testing.T, host, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Host = host
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	d.gateway.ServeHTTP(w, r)
	return w
}

// TestHosts checks which names a request may call the gateway by.
func TestHosts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hosts   *gateway.Hosts
		taken   []string
		refused []string
	}{
		"not looked at": {nil, []string{"rebound.example:8080"}, nil},
		"this machine's": {
			&gateway.Hosts{},
			[]string{"localhost", "localhost:8080", "LocalHost.", "a.localhost:1", "127.0.0.1:8080", "[::1]:8080", "[::1]", "192.0.2.7", ""},
			[]string{
				"rebound.example", "rebound.example:8080", "localhost.rebound.example", "notlocalhost", "sluice", "sluice.local",
				"127.0.0.1.rebound.example", "0x7f.1", "a b",
			},
		},
		"private": {
			&gateway.Hosts{Private: true},
			[]string{"sluice", "sluice:8080", "sluice.models.svc.cluster.local", "sluice.models.svc:8080", "box.internal", "box.home.arpa."},
			[]string{"rebound.example", "local.example", "sluice.models", "sluice.models.svc.rebound.example"},
		},
		// What the chart and a pod's search list give; svc alone makes no name a cluster's.
		"of a cluster": {
			&gateway.Hosts{Private: true, Names: []string{"sluice.models"}, Domains: []string{"svc.cluster.example"}},
			[]string{
				"sluice.models:8080", "sluice.models.svc:8080", "sluice.models.svc.cluster.local", "sluice.models.svc.cluster.example:8080",
				"Sluice.Models.", "sluice",
			},
			[]string{"other.models", "sluice.models.rebound.example", "sluice.models.svc.rebound.example", "svc.cluster.example", "cluster.example"},
		},
		"behind an Ingress": {
			&gateway.Hosts{Private: true, Names: []string{"sluice.models", "xn--bcher-kva.example"}},
			[]string{"xn--bcher-kva.example", "XN--bcher-kva.example:443"},
			[]string{"www.xn--bcher-kva.example"},
		},
		"asks for keys":        {&gateway.Hosts{Closed: func() bool { return true }}, []string{"rebound.example"}, nil},
		"anyone may call, now": {&gateway.Hosts{Closed: func() bool { return false }}, []string{"localhost"}, []string{"rebound.example"}},
		"named": {
			&gateway.Hosts{Names: []string{"models.example.org"}},
			[]string{"models.example.org", "Models.Example.org:443", "127.0.0.1"},
			[]string{"example.org", "a.models.example.org", "models.example.org.rebound.example"},
		},
		"any": {&gateway.Hosts{Names: []string{"*"}}, []string{"rebound.example"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openAs(t, gateway.Config{Hosts: c.hosts}, servertest.Toy{}, "")
			for _, host := range c.taken {
				if got := d.as(t, host, http.MethodGet, "/v1/models", ""); got.Code != http.StatusOK {
					t.Errorf("%q: %d %s", host, got.Code, got.Body)
				}
			}
			for _, host := range c.refused {
				if got := d.as(t, host, http.MethodGet, "/v1/models", ""); got.Code != http.StatusForbidden {
					t.Errorf("%q: %d %s", host, got.Code, got.Body)
				}
			}
		})
	}
}

// TestForeignHost checks that nothing answers to another's name, be it a page, a preflight or a call, and in which form.
func TestForeignHost(t *testing.T) {
	t.Parallel()
	d := openAs(t, gateway.Config{Hosts: &gateway.Hosts{}, Origins: []string{"*"}}, servertest.Toy{}, "")
	for _, c := range []struct{ method, path, body, want string }{
		{http.MethodGet, "/", "", `"code":"host_not_allowed"`},
		{http.MethodGet, "/openapi.json", "", `"code":"host_not_allowed"`},
		{http.MethodPost, "/v1/completions", `{"prompt":"x"}`, `"code":"host_not_allowed"`},
		{http.MethodPost, "/generate_text", `{"prompt":"x"}`, `rebound.example`},
		{http.MethodPost, "/sluice.v1.InferenceService/Generate", `{"prompt":"x"}`, `"code":"permission_denied"`},
		{http.MethodOptions, "/v1/completions", "", `"code":"host_not_allowed"`},
	} {
		got := d.as(t, "rebound.example:8080", c.method, c.path, c.body)
		if got.Code != http.StatusForbidden || !strings.Contains(got.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.Code, got.Body)
		}
		if got.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s: pages of others may read it", c.method, c.path)
		}
	}
}

func TestParseHost(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"*": "*", "models.example.org": "models.example.org", "sluice": "sluice", "my_box.example": "my_box.example",
		"Example.org": "example.org", "example.org.": "example.org", // one name to the name servers
		"b\u00fccher.example": "xn--bcher-kva.example", "B\u00dcCHER.example.": "xn--bcher-kva.example", "xn--bcher-kva.example": "xn--bcher-kva.example",
	} {
		if got, err := gateway.ParseHost(name); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
	for _, bad := range []string{
		"", ".", "https://example.org", "example.org:443", "*.example.org", "a b", "[::1]", "::1", "a..b", ".example.org", "b\u00fccher.example:443", "\u2603\u200d.example",
	} {
		if got, err := gateway.ParseHost(bad); err == nil {
			t.Errorf("%q is %q", bad, got)
		}
	}
}

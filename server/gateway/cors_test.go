package gateway_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/gateway"
	"github.com/sluiceml/sluice/server/servertest"
)

// preflight asks as a browser does before a page's post of JSON.
func (d *door) preflight(t *testing.T, path, origin string) reply {
	t.Helper()
	got, _ := d.do(t, http.MethodOptions, path, "", "Origin", origin,
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
	return got
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	const ours, path = "https://example.org:8443", "/v1/chat/completions"
	for name, c := range map[string]struct {
		origins []string
		origin  string
		allowed string
	}{
		"none is allowed by default": {nil, ours, ""},
		"one that is named":          {[]string{"https://a.example", ours}, ours, ours},
		"another port":               {[]string{ours}, "https://example.org", ""},
		"another scheme":             {[]string{ours}, "http://example.org:8443", ""},
		"a longer name":              {[]string{"https://example.org"}, "https://example.org.evil.example", ""},
		"an opaque one":              {[]string{ours}, "null", ""},
		"any":                        {[]string{"*"}, ours, "*"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openTo(t, c.origins, servertest.Toy{}, "")
			asked := d.preflight(t, path, c.origin)
			if got := asked.Header.Get("Access-Control-Allow-Origin"); got != c.allowed {
				t.Errorf("preflight: allowed %q, want %q", got, c.allowed)
			}
			if got := asked.StatusCode == http.StatusNoContent; got != (c.allowed != "") {
				t.Errorf("preflight: status %d", asked.StatusCode)
			}
			for _, headers := range []string{"authorization", "*"} {
				got := strings.ToLower(asked.Header.Get("Access-Control-Allow-Headers"))
				if strings.Contains(got, headers) != (c.allowed != "") {
					t.Errorf("preflight: headers %q", got)
				}
			}
			// The answer, and an error too, may be read.
			for _, body := range []string{`{"messages":[{"role":"user","content":"x"}],"max_tokens":1}`, `{`} {
				answered, _ := d.post(t, path, body, "Origin", c.origin)
				if got := answered.Header.Get("Access-Control-Allow-Origin"); got != c.allowed {
					t.Errorf("answer %d: allowed %q, want %q", answered.StatusCode, got, c.allowed)
				}
				if answered.Header.Get("Access-Control-Allow-Credentials") != "" {
					t.Error("credentials are allowed")
				}
				if got := answered.Header.Get("Access-Control-Expose-Headers"); strings.Contains(got, "Retry-After") != (c.allowed != "") {
					t.Errorf("exposed %q", got)
				}
			}
			// An answer that depends on who asks must not be kept for others.
			if vary := asked.Header.Get("Vary"); len(c.origins) > 0 && c.allowed != "*" && vary != "Origin" {
				t.Errorf("Vary %q", vary)
			}
		})
	}
}

// TestOriginsNative checks that pages may call the native API, whose errors they read from the headers of gRPC-Web.
func TestOriginsNative(t *testing.T) {
	t.Parallel()
	d := openTo(t, []string{"*"}, servertest.Toy{}, "")
	const path = "/sluice.v1.InferenceService/Generate"
	if got := d.preflight(t, path, "https://example.org"); got.StatusCode != http.StatusNoContent {
		t.Errorf("preflight: %s", got.Status)
	}
	got, body := d.post(t, path, `{}`, "Origin", "https://example.org")
	if got.StatusCode != http.StatusBadRequest || len(got.Header.Values("Access-Control-Allow-Origin")) != 1 {
		t.Errorf("%s, %v: %s", got.Status, got.Header, body)
	}
	if exposed := got.Header.Get("Access-Control-Expose-Headers"); !strings.Contains(exposed, "Grpc-Status-Details-Bin") {
		t.Errorf("exposed %q", exposed)
	}
}

// TestOriginsPushback checks that a page of another origin may read when the server wants it to try again.
func TestOriginsPushback(t *testing.T) {
	t.Parallel()
	d := openTo(t, []string{"*"}, servertest.Toy{}, "")
	model, err := d.Registry.Model("")
	if err != nil {
		t.Fatal(err)
	}
	model.Drain()
	message, err := proto.Marshal(&sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Prompt{Prompt: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	framed := string(append([]byte{0, 0, 0, 0, byte(len(message))}, message...))
	for kind, body := range map[string]string{"application/json": `{"prompt":"x"}`, "application/grpc-web+proto": framed} {
		got, text := d.do(t, http.MethodPost, "/sluice.v1.InferenceService/Generate", body, "Content-Type", kind, "Origin", "https://example.org")
		exposed := strings.Split(got.Header.Get("Access-Control-Expose-Headers"), ", ")
		found := false
		for name, values := range got.Header {
			if strings.HasSuffix(name, "Grpc-Retry-Pushback-Ms") {
				found = true
				if !slices.Contains(exposed, name) || !slices.Equal(values, []string{"2000"}) {
					t.Errorf("%s: %s %q, exposed are %q", kind, name, values, exposed)
				}
			}
		}
		if !found && !strings.Contains(text, "grpc-retry-pushback-ms: 2000\r\n") { // trailers of gRPC-Web are in the body
			t.Errorf("%s: %s, %v: %q", kind, got.Status, got.Header, text)
		}
	}
}

func TestCheckOrigin(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"*", "https://example.org", "http://localhost:3000", "https://[::1]:8443", "http://[::1]", "http://example.org:443", "https://example.org:80"} {
		if err := gateway.CheckOrigin(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "example.org", "https://", "https://example.org/", "https://example.org/app", "https://*.example.org?", "null",
		"https://Example.org", "HTTPS://example.org", "https://[::A]:8443", // what no browser sends
		"https://example.org:443", "http://localhost:80", "http://[::1]:80", "https://example.org:",
	} {
		if gateway.CheckOrigin(bad) == nil {
			t.Errorf("%q is an origin", bad)
		}
	}
}

package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/server/servertest"
)

// TestNativeForm checks that a request that is no call is refused in a form that its caller reads.
func TestNativeForm(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	const generate, stream = "/sluice.v1.InferenceService/Generate", "/sluice.v1.InferenceService/GenerateStream"
	for name, c := range map[string]struct {
		method, path, body, kind string
		status                   int
		message                  string
	}{
		"no JSON":               {"POST", generate, `[null]`, "application/json", 400, "the request is not a sluice.v1.GenerateRequest in JSON: syntax error (line 1:1)"},
		"a field of wrong type": {"POST", generate, `{"prompt": {}}`, "application/json", 400, "invalid value for string field prompt"},
		"two inputs":            {"POST", generate, `{"prompt": "x", "tokens": {}}`, "application/json", 400, "oneof"},
		"no JSON, as events":    {"POST", stream, `[null]`, "application/json", 400, "the request is not a sluice.v1.GenerateRequest in JSON: syntax error (line 1:1)"},
		"no type":               {"POST", generate, `{}`, "", 415, "application/json"},
		"another type":          {"POST", generate, `{}`, "application/xml", 415, "application/json"},
		"another codec":         {"POST", generate, `{}`, "application/grpc+thrift", 415, "application/json"},
		"gRPC-Web in base64":    {"POST", generate, "AAAAAAA=", "application/grpc-web-text+proto", 415, "application/json"},
		"no type, as events":    {"POST", stream, `{}`, "", 415, "application/json"},
		"a stream as JSON":      {"POST", stream, `{}`, "application/json", 415, "text/event-stream"},
		"another method":        {"GET", generate, "", "", 405, "POST"},
		"a method of HTTP/1.0":  {"TRACE", generate, "", "", 405, "POST"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var headers []string
			if c.kind != "" {
				headers = append(headers, "Content-Type", c.kind)
			}
			if strings.HasSuffix(name, "as events") {
				headers = append(headers, "Accept", "text/event-stream")
			}
			got, body := d.do(t, c.method, c.path, c.body, headers...)
			var problem struct{ Code, Message string }
			if err := json.Unmarshal([]byte(body), &problem); err != nil {
				t.Fatalf("%s: %s", err, body)
			}
			if got.StatusCode != c.status || problem.Code != "invalid_argument" || !strings.Contains(problem.Message, c.message) {
				t.Errorf("%s: %s", got.Status, body)
			}
			if c.status == http.StatusMethodNotAllowed && got.Header.Get("Allow") != http.MethodPost {
				t.Errorf("Allow %q", got.Header.Get("Allow"))
			}
		})
	}
}

package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/server/servertest"
)

// TestServerGone: a request that comes between the end of the server and that of its HTTP address is told to come again, as one
// during the drain is.
func TestServerGone(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	d.Server.Stop()
	for _, end := range []string{`}`, `,"stream":true}`} {
		res, text := d.do(t, http.MethodPost, "/v1/completions", `{"prompt":"one"`+end, "Content-Type", "application/json")
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" ||
			!strings.Contains(text, `"message":"the server is going away"`) || !strings.Contains(text, `"code":"unavailable"`) {
			t.Errorf("%s: %s, Retry-After %q: %s", end, res.Status, res.Header.Get("Retry-After"), text)
		}
	}
}

package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/gateway"
	"github.com/sluiceml/sluice/server/servertest"
)

// operations are those of the OpenAPI document that a server gives, as "METHOD /path".
func operations(t *testing.T, d *door) []string {
	t.Helper()
	got, body := d.do(t, http.MethodGet, "/openapi.json", "")
	if got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s, %v", got.Status, got.Header)
	}
	var document struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		t.Fatal(err)
	}
	if document.OpenAPI != "3.1.0" {
		t.Errorf("version %q", document.OpenAPI)
	}
	var out []string
	for path, methods := range document.Paths {
		for method := range methods {
			out = append(out, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(out)
	return out
}

// TestOpenAPI checks that the document has every route and every method of the native services, and no other.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	var want []string
	for _, pattern := range d.gateway.Patterns() {
		if !strings.Contains(pattern, "/playground/") && !strings.Contains(pattern, "{$}") { // for people
			want = append(want, strings.ReplaceAll(pattern, "...}", "}"))
		}
	}
	for _, path := range nativePaths() {
		want = append(want, "POST "+path)
	}
	slices.Sort(want)
	if got := operations(t, d); !slices.Equal(got, want) {
		t.Errorf("the document has\n%s\nand the gateway\n%s\n(openapi/, make generate)", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Who turns reflection off does not want the services described by HTTP either.
func TestNoReflection(t *testing.T) {
	t.Parallel()
	g, err := gateway.New(gateway.Config{
		Dial:         func(context.Context) (net.Conn, error) { return nil, errors.ErrUnsupported },
		NoReflection: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close() //nolint:errcheck // it has no connections
	for path, want := range map[string]int{"/openapi.json": http.StatusNotFound, "/": http.StatusOK} {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("%s: %d: %.80s", path, w.Code, w.Body)
		}
	}
}

// The bounds of a seed are those of int64, to the last digit.
func TestOpenAPISeed(t *testing.T) {
	t.Parallel()
	_, body := open(t, servertest.Toy{}, "").do(t, http.MethodGet, "/openapi.json", "")
	var document struct {
		Components struct {
			Schemas map[string]struct {
				Properties struct {
					Seed struct{ Minimum, Maximum *int64 }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		t.Fatal(err)
	}
	seed := document.Components.Schemas["RequestFields"].Properties.Seed
	if seed.Minimum == nil || seed.Maximum == nil || *seed.Minimum != math.MinInt64 || *seed.Maximum != math.MaxInt64 {
		t.Errorf("%v", seed)
	}
}

// nativePaths are the paths of the native methods.
func nativePaths() []string {
	var out []string
	for _, service := range []grpc.ServiceDesc{
		sluicev1.InferenceService_ServiceDesc, sluicev1.ModelService_ServiceDesc, sluicev1.TokenizerService_ServiceDesc,
	} {
		for _, method := range service.Methods {
			out = append(out, "/"+service.ServiceName+"/"+method.MethodName)
		}
		for _, stream := range service.Streams {
			out = append(out, "/"+service.ServiceName+"/"+stream.StreamName)
		}
	}
	return out
}

// TestWrongMethod checks that a refused method says which ones are taken, as RFC 9110 wants it.
func TestWrongMethod(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	for path, allow := range map[string]string{
		"/v1/models": "GET, HEAD", "/v1/models/toy": "GET, HEAD", "/v1/completions": "POST", "/generate_text": "POST", "/openapi.json": "GET, HEAD",
	} {
		got, _ := d.do(t, http.MethodDelete, path, "")
		if got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != allow {
			t.Errorf("%s: %s, Allow %q, want %q", path, got.Status, got.Header.Get("Allow"), allow)
		}
	}
}

package main

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/cmd/sluice/internal/logging"
)

// TestPlainCallOfTLS: who calls a server with TLS in the clear is told so, and not that nothing is there.
func TestPlainCallOfTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	var stderr strings.Builder
	code := run(t.Context(), []string{"models", "--addr", server.Listener.Addr().String()}, process{
		stdin: strings.NewReader(""), stdout: &strings.Builder{}, stderr: &stderr,
	})
	if code != exitFailed || !strings.Contains(stderr.String(), "does not answer in gRPC") || !strings.Contains(stderr.String(), "--tls-ca") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

// TestWarnOfVariables: a mistyped variable of the server's is named; one of another command's, or of Kubernetes', is not.
func TestWarnOfVariables(t *testing.T) {
	t.Parallel()
	var line commandLine
	parser, err := newParser(&line, process{})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	warnOfVariables(logging.New(&out, "text", new(slog.LevelVar)), parsed, []string{
		"SLUICE_SLOT=4", "SLUICE_QUEUE=1", "SLUICE_HOME=/x", "SLUICE_ADDR=x:1", "SLUICE_SERVICE_HOST=10.0.0.1", "SLUICE_PORT=tcp://10.0.0.1:8080", "SLOTS=2",
	})
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "variable=SLUICE_SLOT resembles=SLUICE_SLOTS") {
		t.Errorf("logged %q", got)
	}
}

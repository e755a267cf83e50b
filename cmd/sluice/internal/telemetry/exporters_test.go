package telemetry

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

// TestStartRefuses what the operator has to mend, by the name of the variable or the option.
func TestStartRefuses(t *testing.T) {
	for _, test := range []struct {
		variable, value string
		want            string // in the error, besides the variable's name
	}{
		{"OTEL_PROPAGATORS", "zipkin", "unknown propagator"},
		{"OTEL_TRACES_EXPORTER", "jaeger", "unknown exporter"},
		{"OTEL_METRICS_EXPORTER", "statsd", "unknown exporter"},
		{"OTEL_TRACES_SAMPLER", "some", "standard samplers"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "invalid OTLP protocol"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317", "http://localhost:4318"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector", "http://localhost:4318"},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "::", "http://localhost:4318"},
	} {
		t.Run(test.variable, func(t *testing.T) {
			t.Setenv(test.variable, test.value)
			if strings.HasSuffix(test.variable, "_PROTOCOL") || strings.HasSuffix(test.variable, "_SAMPLER") {
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1") // looked at only where something is exported
			}
			err := start(t, "")
			if !errors.As(err, new(*usage.Error)) {
				t.Fatalf("got error %v", err)
			}
			for _, want := range []string{test.variable, test.value, test.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
	t.Run("trace file", func(t *testing.T) {
		err := start(t, filepath.Join(t.TempDir(), "none", "trace.jsonl"))
		if !errors.As(err, new(*usage.Error)) || !strings.Contains(err.Error(), "--trace-file: open ") {
			t.Errorf("got error %v", err)
		}
	})
}

// TestStartTakes what the exporters take: an address that none of them uses may be anything.
func TestStartTakes(t *testing.T) {
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer collector.Close()
	for _, test := range []struct{ name, exporter, endpoint, own string }{
		{"an exporter without a collector", "none", "collector:4317", ""},
		{"blanks", "otlp", " " + collector.URL + " ", ""},
		{"blanks, by default", "", "\t" + collector.URL + "\n", ""},
		{"an address that is not used", "otlp", "collector:4317", collector.URL},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_EXPORTER", test.exporter)
			t.Setenv("OTEL_METRICS_EXPORTER", test.exporter)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", test.endpoint)
			t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", test.own)
			t.Setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", test.own)
			sdk, err := Start(t.Context(), Config{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			if err := sdk.Shutdown(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestExporterErrorNames all variables that may be at fault, and the values of those alone that hold no secret.
func TestExporterErrorNames(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "key=sesame")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "1")
	cause := errors.New("no such file")
	err := exporterError("TRACES", cause)
	if !errors.As(err, new(*usage.Error)) || !errors.Is(err, cause) {
		t.Fatalf("got %v", err)
	}
	const want = `OTEL_EXPORTER_OTLP_ENDPOINT is set, OTEL_EXPORTER_OTLP_HEADERS is set, OTEL_EXPORTER_OTLP_PROTOCOL is "grpc": no such file`
	if err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func start(t *testing.T, traceFile string) error {
	t.Helper()
	sdk, err := Start(t.Context(), Config{TraceFile: traceFile, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = errors.Join(errors.New("it started"), sdk.Shutdown())
	}
	return err
}

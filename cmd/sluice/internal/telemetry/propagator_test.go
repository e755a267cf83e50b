package telemetry

import (
	"errors"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

func TestEnvironmentPropagator(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	traceparent := propagation.MapCarrier{"traceparent": "00-" + id + "-b7ad6b7169203331-01", "baggage": "a=b"}
	for _, test := range []struct {
		names   string
		carrier propagation.MapCarrier
		joins   bool
	}{
		{"", traceparent, true},
		{" ", traceparent, true},
		{"TraceContext, baggage", traceparent, true},
		{"b3", traceparent, false},
		{"none", traceparent, false},
		{"b3,tracecontext", traceparent, true},
		{"b3", propagation.MapCarrier{"b3": id + "-b7ad6b7169203331-1"}, true},
		{"b3multi", propagation.MapCarrier{"x-b3-traceid": id, "x-b3-spanid": "b7ad6b7169203331", "x-b3-sampled": "1"}, true},
		{"jaeger", propagation.MapCarrier{"uber-trace-id": id + ":b7ad6b7169203331:0:1"}, true},
		{"", propagation.MapCarrier{"b3": id + "-b7ad6b7169203331-1"}, false},
	} {
		t.Setenv("OTEL_PROPAGATORS", test.names)
		propagator, err := environmentPropagator()
		if err != nil {
			t.Errorf("%q: %v", test.names, err)
			continue
		}
		span := trace.SpanContextFromContext(propagator.Extract(t.Context(), test.carrier))
		if joined := span.TraceID().String() == id; joined != test.joins {
			t.Errorf("%q of %v: joined %v, want %v", test.names, test.carrier, joined, test.joins)
		}
	}
	t.Setenv("OTEL_PROPAGATORS", "")
	propagator, err := environmentPropagator()
	if fields := propagator.Fields(); err != nil || !slices.Contains(fields, "traceparent") || !slices.Contains(fields, "baggage") {
		t.Errorf("by default: %v, %v", fields, err)
	}
	t.Setenv("OTEL_PROPAGATORS", "tracecontext,zipkin")
	if _, err := environmentPropagator(); !errors.As(err, new(*usage.Error)) {
		t.Errorf("an unknown name: %v", err)
	}
}

package telemetry

import (
	"os"
	"strings"

	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel/propagation"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

// environmentPropagator is what OTEL_PROPAGATORS names, a list of tracecontext, baggage, b3, b3multi, jaeger, xray,
// ottrace and none; by default W3C Trace Context and Baggage. A name that is none of them is an error, not a warning:
// traces that do not join are found late.
func environmentPropagator() (propagation.TextMapPropagator, error) {
	var names []string
	for name := range strings.SplitSeq(os.Getenv("OTEL_PROPAGATORS"), ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		names = []string{"tracecontext", "baggage"}
	}
	propagator, err := autoprop.TextMapPropagator(names...)
	if err != nil {
		return nil, usage.Errorf("OTEL_PROPAGATORS is %q: %w", os.Getenv("OTEL_PROPAGATORS"), err)
	}
	return propagator, nil
}

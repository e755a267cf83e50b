package telemetry

import (
	"os"
	"strconv"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

// linkSampler samples a root span that links to a sampled one, and leaves the rest to another sampler. The span of a
// batch step is such a root: it belongs to the traces of all requests in the step and must be there whenever one of
// them is, whatever a ratio would say to its own id.
type linkSampler struct{ sdktrace.Sampler }

// ShouldSample implements sdktrace.Sampler.
func (s linkSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if parent := trace.SpanContextFromContext(p.ParentContext); !parent.IsValid() {
		for _, link := range p.Links {
			if link.SpanContext.IsSampled() {
				return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
			}
		}
	}
	return s.Sampler.ShouldSample(p)
}

// environmentSampler is the sampler that OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG name, which the SDK reads but
// does not export: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/.
func environmentSampler() (sdktrace.Sampler, error) {
	ratio := 1.0
	if text := os.Getenv("OTEL_TRACES_SAMPLER_ARG"); text != "" {
		var err error
		if ratio, err = strconv.ParseFloat(text, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, usage.Errorf("OTEL_TRACES_SAMPLER_ARG is %q, not a number from 0 to 1", text)
		}
	}
	switch name := os.Getenv("OTEL_TRACES_SAMPLER"); name {
	case "", "parentbased_always_on":
		return sdktrace.ParentBased(sdktrace.AlwaysSample()), nil
	case "parentbased_always_off":
		return sdktrace.ParentBased(sdktrace.NeverSample()), nil
	case "parentbased_traceidratio":
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio)), nil
	case "always_on":
		return sdktrace.AlwaysSample(), nil
	case "always_off":
		return sdktrace.NeverSample(), nil
	case "traceidratio":
		return sdktrace.TraceIDRatioBased(ratio), nil
	default:
		return nil, usage.Errorf("OTEL_TRACES_SAMPLER is %q, which is not one of the standard samplers", name)
	}
}

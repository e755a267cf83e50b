package telemetry

import (
	"context"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func TestLinkSampler(t *testing.T) {
	span := func(flags trace.TraceFlags) trace.SpanContext {
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags})
	}
	sampler := linkSampler{sdktrace.NeverSample()}
	for name, test := range map[string]struct {
		parent trace.SpanContext
		link   trace.SpanContext
		want   sdktrace.SamplingDecision
	}{
		"a root that links to a sampled span":    {link: span(trace.FlagsSampled), want: sdktrace.RecordAndSample},
		"a root that links to an unsampled span": {link: span(0), want: sdktrace.Drop},
		"a child":                                {parent: span(0), link: span(trace.FlagsSampled), want: sdktrace.Drop},
	} {
		got := sampler.ShouldSample(sdktrace.SamplingParameters{
			ParentContext: trace.ContextWithSpanContext(context.Background(), test.parent),
			Links:         []trace.Link{{SpanContext: test.link}},
		}).Decision
		if got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestEnvironmentSampler(t *testing.T) {
	for _, test := range []struct{ name, argument, want string }{
		{"", "", sdktrace.ParentBased(sdktrace.AlwaysSample()).Description()},
		{"traceidratio", "0.25", sdktrace.TraceIDRatioBased(0.25).Description()},
		{"parentbased_traceidratio", "0.5", sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.5)).Description()},
		{"always_off", "", sdktrace.NeverSample().Description()},
		{"traceidratio", "2", ""},
		{"traceidratio", "NaN", ""},
		{"sometimes", "", ""},
	} {
		t.Setenv("OTEL_TRACES_SAMPLER", test.name)
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", test.argument)
		sampler, err := environmentSampler()
		switch {
		case test.want == "" && err == nil:
			t.Errorf("%q %q was taken", test.name, test.argument)
		case test.want != "" && (err != nil || sampler.Description() != test.want):
			t.Errorf("%q %q: %v, %v", test.name, test.argument, sampler, err)
		}
	}
}

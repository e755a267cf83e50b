package engine

import (
	"context"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
)

// BenchmarkStepSpans is what the spans of a step of 8 rows cost, a span of each row and the step's own, up to the
// exporter: divided by 8, the differences are what a token costs.
func BenchmarkStepSpans(b *testing.B) {
	for _, tracing := range []string{"off", "unsampled", "sampled"} {
		b.Run(tracing, func(b *testing.B) {
			const rows, vocab = 8, 256
			e, take := stepping(b, rows, vocab)
			session := &idle{limits: runner.Limits{Slots: rows, MaxLength: 1 << 15, MaxChunk: 8, VocabSize: vocab}}
			for range rows {
				session.rows = append(session.rows, make([]float32, vocab))
			}
			e.session, e.limits = session, session.limits
			provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(tracetest.NewNoopExporter()))
			b.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
			e.tracer = newStepTracer(Config{TracerProvider: provider})
			if tracing == "off" {
				e.tracer = nil
			}
			ctx, span := provider.Tracer("caller").Start(b.Context(), "request")
			defer span.End()
			for _, q := range e.sched.All(nil) {
				j := jobOf(q)
				j.sampler, j.req.Logprobs, j.limit = sampling.New(sampling.Greedy(), 0, nil, 0), Logprobs{}, 1<<60
				if tracing == "sampled" {
					j.trace = e.tracer.job(ctx)
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i == 1<<14-1 {
					b.Fatal("the outputs are full: run with fewer iterations")
				}
				e.intake()
				if _, err := e.step(b.Context()); err != nil {
					b.Fatal(err)
				}
				take()
			}
		})
	}
}

package engine_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

// describe writes a span as "name from-to key=value…", times in ms since an origin.
func describe(s sdktrace.ReadOnlySpan, origin time.Time) string {
	text := fmt.Sprintf("%s %d-%d", s.Name(), s.StartTime().Sub(origin).Milliseconds(), s.EndTime().Sub(origin).Milliseconds())
	set := attribute.NewSet(s.Attributes()...)
	for _, kv := range set.ToSlice() {
		text += fmt.Sprintf(" %s=%d", kv.Key, kv.Value.AsInt64())
	}
	if n := len(s.Links()); n > 0 {
		text += fmt.Sprintf(" links=%d", n)
	}
	return text
}

// TestSpans reads every span of a sampled request that shares its steps with an unsampled one.
func TestSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
		h := start(t, inferencetest.ToyConfig{
			BeforeStep: func(runner.Step) error { elapse(10 * time.Millisecond); return nil },
		}, engine.Config{TracerProvider: provider})
		origin := time.Now()

		unsampled := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1},
		}))
		other := submitCtx(unsampled, t, h.Engine, greedy(30, counting(1, 9)...)) // 2 chunks
		noSpan := submit(t, h.Engine, greedy(30, 5))
		ctx, parent := provider.Tracer("test").Start(t.Context(), "parent")
		got := read(t, submitCtx(ctx, t, h.Engine, greedy(3, counting(2, 12)...)))
		parent.End()
		other.Close()
		noSpan.Close()
		if len(got.ids) != 3 {
			t.Fatalf("got %+v", got)
		}
		synctest.Wait()

		var request, steps []string
		for _, s := range recorder.Ended() {
			switch {
			case s.Name() == "engine.step":
				steps = append(steps, describe(s, origin))
				if s.Parent().IsValid() || s.SpanContext().TraceID() == parent.SpanContext().TraceID() {
					t.Errorf("%s is in the request's trace", s.Name())
				}
				for _, l := range s.Links() {
					if !l.SpanContext.Equal(parent.SpanContext()) {
						t.Errorf("%s links to %v", s.Name(), l.SpanContext)
					}
				}
			case s.Name() == "parent":
			case s.Parent().SpanID() != parent.SpanContext().SpanID():
				t.Errorf("%s is not under the request's span", s.Name())
			default:
				request = append(request, describe(s, origin))
			}
		}
		want := []string{
			"queue 0-30",
			"prefill 30-40 sluice.batch.size=3 sluice.context.length=8 sluice.slot=2 sluice.tokens=8",
			"prefill 40-50 sluice.batch.size=3 sluice.context.length=12 sluice.slot=2 sluice.token.index=0 sluice.tokens=4",
			"decode 50-60 sluice.batch.size=3 sluice.context.length=13 sluice.slot=2 sluice.token.index=1 sluice.tokens=1",
			"decode 60-70 sluice.batch.size=3 sluice.context.length=14 sluice.slot=2 sluice.token.index=2 sluice.tokens=1",
			"detokenize 50-70 sluice.tokens=3",
		}
		if diff := cmp.Diff(want, request); diff != "" {
			t.Errorf("the request's spans: want (-), got (+):\n%s", diff)
		}
		want = []string{
			"engine.step 30-40 sluice.batch.size=3 sluice.tokens=10 links=1",
			"engine.step 40-50 sluice.batch.size=3 sluice.tokens=6 links=1",
			"engine.step 50-60 sluice.batch.size=3 sluice.tokens=3 links=1",
			"engine.step 60-70 sluice.batch.size=3 sluice.tokens=3 links=1",
		}
		if diff := cmp.Diff(want, steps); diff != "" {
			t.Errorf("the steps' spans: want (-), got (+):\n%s", diff)
		}
	})
}

// TestSpansOfShortLives: a request that never starts has its time in the queue, a cancelled one what it got.
func TestSpansOfShortLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
		toy := slow()
		h := start(t, toy, engine.Config{TracerProvider: provider})
		origin := time.Now()
		ctx, parent := provider.Tracer("test").Start(t.Context(), "parent")
		ctx, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
		defer cancel()
		running := submitCtx(ctx, t, h.Engine, greedy(9, 1))
		waiting := submitCtx(ctx, t, h.Engine, greedy(9, 2))
		read(t, running)
		read(t, waiting)
		parent.End()
		synctest.Wait()
		var got []string
		for _, s := range recorder.Ended() {
			if s.Name() != "engine.step" && s.Name() != "parent" {
				got = append(got, describe(s, origin))
			}
		}
		want := []string{
			"queue 0-0",
			"prefill 0-1000 sluice.batch.size=1 sluice.context.length=1 sluice.slot=0 sluice.token.index=0 sluice.tokens=1",
			"decode 1000-2000 sluice.batch.size=1 sluice.context.length=2 sluice.slot=0 sluice.token.index=1 sluice.tokens=1",
			"detokenize 1000-2000 sluice.tokens=2",
			"queue 0-2000",
		}
		sortLast(got, "queue 0-2000")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
	})
}

// sortLast brings the last two lines, whose order is that of two cancellations at the same moment, into order.
func sortLast(lines []string, last string) {
	n := len(lines)
	if n >= 2 && lines[n-2] == last {
		lines[n-2], lines[n-1] = lines[n-1], lines[n-2]
	}
}

// TestStepSpanOfAFailure has the error on it.
func TestStepSpanOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
		h := start(t, inferencetest.ToyConfig{
			BeforeStep: func(runner.Step) error { return context.Canceled },
		}, engine.Config{TracerProvider: provider})
		ctx, parent := provider.Tracer("test").Start(t.Context(), "parent")
		defer parent.End()
		read(t, submitCtx(ctx, t, h.Engine, greedy(9, 1)))
		for _, s := range recorder.Ended() {
			if s.Name() == "engine.step" && s.Status().Description == "the session failed" && len(s.Events()) == 1 {
				return
			}
		}
		t.Error("no engine.step with the error")
	})
}

// TestSpansOfAGroup: the prompt that several outputs share has its spans once, and each token after an output's first a
// decode span.
func TestSpansOfAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
		h := start(t, inferencetest.ToyConfig{Limits: runner.Limits{Slots: 3}}, engine.Config{TracerProvider: provider})
		ctx, parent := provider.Tracer("test").Start(t.Context(), "parent")
		r := sampled(1, 5, counting(1, 12)...) // two chunks
		r.EOS = nil
		if _, err := readGroup(t, group(ctx, t, h.Engine, r, 3), 3); err != nil {
			t.Fatal(err)
		}
		parent.End()
		synctest.Wait()
		spans := map[string]int{}
		for _, s := range recorder.Ended() {
			if s.Parent().SpanID() == parent.SpanContext().SpanID() {
				spans[s.Name()]++
			}
		}
		want := map[string]int{"queue": 3, "prefill": 2, "decode": 3 * 4, "detokenize": 3}
		if diff := cmp.Diff(want, spans); diff != "" {
			t.Errorf("spans: want (-), got (+):\n%s", diff)
		}
	})
}

package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/semconv"
)

// under runs the requests of speculation's test, several outputs among them, on an engine, and returns all that they
// gave, with the engine's figures. No two requests begin at the same time.
func under(t *testing.T, limits runner.Limits, kvTokens int) (all []result, stats engine.Stats) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		toy := inferencetest.ToyConfig{
			Limits: limits, Script: repeating,
			BeforeStep: func(runner.Step) error { elapse(10 * time.Millisecond); return nil },
		}
		h := start(t, toy, engine.Config{KVTokens: kvTokens})
		const requests = 40
		results := make([][]result, requests)
		done := make(chan struct{})
		for i := range requests {
			go func() {
				defer func() { done <- struct{}{} }()
				elapse(time.Duration(i*3) * time.Millisecond)
				r := repeatingRequest(i)
				switch i % 4 {
				case 1:
					r.PromptLogprobs = engine.Logprobs{Wanted: true, Top: 1}
				case 2:
					r.Sampling = sampled(uint64(i), 1, 1).Sampling
					g := group(t.Context(), t, h.Engine, r, 3)
					got, err := readGroup(t, g, 3)
					if err != nil {
						t.Errorf("request %d: %v", i, err)
					}
					results[i] = got
					return
				}
				results[i] = []result{read(t, submit(t, h.Engine, r))}
			}()
		}
		for range requests {
			<-done
		}
		for _, r := range results {
			all = append(all, r...)
		}
		synctest.Wait()
		stats = h.Stats()
	})
	return all, stats
}

// TestPreemptionDoesNotShow: with so little memory that requests lose their slots many times, each gives the same tokens,
// text, log-probabilities and finish as with memory for all, once.
func TestPreemptionDoesNotShow(t *testing.T) {
	base := runner.Limits{Slots: 6, MaxLength: 180, MaxChunk: 16}
	want, stats := under(t, base, 0)
	if stats.Preemptions != 0 || stats.KVCapacity != 6*180 {
		t.Fatalf("with memory for all: %+v", stats)
	}
	cached, drafted := base, base
	cached.Blocks = 8
	drafted.MaxDraft = 4
	uniform := drafted
	uniform.Uniform, uniform.Blocks = true, 8
	for _, limits := range []runner.Limits{base, cached, drafted, uniform} {
		for _, budget := range []int{180, 250, 400} {
			t.Run(fmt.Sprintf("%+v/%d", limits, budget), func(t *testing.T) {
				got, stats := under(t, limits, budget)
				options := []cmp.Option{
					cmp.AllowUnexported(result{}), cmpopts.IgnoreFields(result{}, "summary", "updates"), cmpopts.EquateEmpty(),
				}
				if diff := cmp.Diff(want, got, options...); diff != "" {
					t.Errorf("want (-), got (+):\n%s", diff)
				}
				if stats.Preemptions < 10 || stats.KVTokens != 0 || stats.KVCapacity != budget {
					t.Errorf("stats: %+v", stats)
				}
			})
		}
	}
}

// TestPreemptedSpan: the caller's span tells when a request lost its slot and when it had one again, and its decode
// spans are one for each token.
func TestPreemptedSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
		toy := slow()
		toy.Limits = runner.Limits{Slots: 2, MaxLength: 30}
		h := start(t, toy, engine.Config{TracerProvider: provider, KVTokens: 30})
		first := submit(t, h.Engine, greedy(20, 1, 2))
		ctx, parent := provider.Tracer("test").Start(t.Context(), "parent")
		got := read(t, submitCtx(ctx, t, h.Engine, greedy(20, 3, 4)))
		parent.End()
		read(t, first)
		if len(got.ids) != 20 || got.summary.Usage.CompletionTokens != 20 {
			t.Fatalf("got %+v", got)
		}
		decodes := 0
		for _, s := range recorder.Ended() {
			switch s.Name() {
			case semconv.SpanDecode:
				decodes++
			case "parent":
				if e := s.Events(); len(e) != 2 || e[0].Name != semconv.EventPreempted || e[1].Name != semconv.EventResumed {
					t.Errorf("events %+v", e)
				}
			}
		}
		if decodes != 19 {
			t.Errorf("%d decode spans, want 19", decodes)
		}
	})
}

// TestPreemptedEnds: a request that lost its slot can be cancelled and closed, and ends with the engine.
func TestPreemptedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toy := slow()
		toy.Limits = runner.Limits{Slots: 3, MaxLength: 40}
		h := start(t, toy, engine.Config{KVTokens: 40})
		outs := []*engine.Output{
			submit(t, h.Engine, greedy(30, 1)), submit(t, h.Engine, greedy(30, 2)), submit(t, h.Engine, greedy(30, 3)),
		}
		for h.Stats().Preemptions < 2 {
			elapse(time.Millisecond)
		}
		if s := h.Stats(); s.Running != 1 || s.Waiting != 2 {
			t.Fatalf("stats %+v", s)
		}
		outs[1].Close()
		synctest.Wait()
		elapse(2 * time.Second)
		if s := h.Stats(); s.Running+s.Waiting != 2 {
			t.Errorf("after Close: stats %+v", s)
		}
		h.stop()
		if got := read(t, outs[2]); got.err == nil || len(got.ids) == 0 {
			t.Errorf("after the engine's end: %+v", got)
		}
	})
}

package engine

import (
	"context"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
)

// letters is a decoder that allocates nothing.
type letters struct{}

func (letters) Add(id uint32) string { return "abcdefghijklmnop"[id&15:][:1] }
func (letters) Flush() string        { return "" }

// stepping is an engine whose steps are called by hand, with rows requests that have their first token.
func stepping(tb testing.TB, rows, vocab int) (e *Engine, take func()) {
	tb.Helper()
	e, err := New(inferencetest.NewToy(inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: rows, MaxLength: 1 << 15, VocabSize: vocab},
	}), Config{
		TracerProvider: sdktrace.NewTracerProvider(),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())),
	})
	if err != nil {
		tb.Fatal(err)
	}
	outs := make([]*Output, rows)
	for i := range outs {
		r := Request{
			Prompt: []uint32{uint32(i)}, MaxTokens: 1 << 14, Sampling: sampling.Greedy(), Decoder: letters{},
			WantTokenIDs: true, Stop: Stop{Strings: []string{"no such text", "abcabcabc"}, TokenIDs: []uint32{1 << 30}},
		}
		if i%2 == 1 {
			r.Sampling = sampling.Params{
				Temperature: 0.8, TopK: 40, TopP: 0.95, RepetitionPenalty: 1.1, Seed: uint64(i),
			}
		}
		if i%4 == 2 {
			r.Logprobs = Logprobs{Wanted: true, Top: 5}
		}
		if i%4 == 3 {
			r.Sampling.TypicalP, r.Sampling.NoRepeatNGram, r.Sampling.MinTokens = 0.9, 5, 1<<13
			r.Sampling.Bias, r.Sampling.BadWords = []sampling.Bias{{ID: 1, Value: 1}}, [][]uint32{{5}, {6, 7}}
		}
		if outs[i], err = e.Submit(context.Background(), r); err != nil {
			tb.Fatal(err)
		}
	}
	for range rows {
		e.intake()
		if _, err := e.step(context.Background()); err != nil {
			tb.Fatal(err)
		}
	}
	return e, func() {
		for _, o := range outs {
			o.mu.reset()
		}
	}
}

// TestStepAllocatesNothing counts a steady step of 8 rows, greedy and sampled, with metrics on and tracing on for
// others.
func TestStepAllocatesNothing(t *testing.T) {
	e, take := stepping(t, 8, 1000)
	if n := testing.AllocsPerRun(200, func() {
		e.intake()
		if ran, err := e.step(context.Background()); !ran || err != nil {
			t.Fatalf("step: ran %t, %v", ran, err)
		}
		take()
	}); n != 0 {
		t.Errorf("%v allocations a step, want 0", n)
	}
}

// idle is a session that costs nothing: its logits are always the same.
type idle struct {
	limits runner.Limits
	rows   [][]float32
}

func (s *idle) Limits() runner.Limits { return s.limits }
func (s *idle) Step(st runner.Step) (runner.Logits, error) {
	return runner.Logits{Decode: s.rows[:len(st.Decode)], Chunks: s.rows[:len(st.Chunks)]}, nil
}
func (s *idle) CopySlot(_, _, _ int) error         { return nil }
func (s *idle) ReleaseSlot(int)                    {}
func (s *idle) SaveBlocks(_, _ int, _ []int) error { return nil }
func (s *idle) LoadBlocks(int, []int, int) error   { return nil }
func (s *idle) Close() error                       { return nil }

// BenchmarkStep is what a step costs beside the session's run: 16 greedy rows over SmolLM2's vocabulary.
func BenchmarkStep(b *testing.B) {
	const rows, vocab = 16, 49152
	e, take := stepping(b, rows, 256)
	session := &idle{limits: runner.Limits{Slots: rows, MaxLength: 1 << 15, MaxChunk: 8, VocabSize: vocab}}
	for range rows {
		row := make([]float32, vocab)
		for i := range row {
			row[i] = float32(i*7919%10007) * 1e-3
		}
		session.rows = append(session.rows, row)
	}
	e.session, e.limits = session, session.limits
	e.scratch = sampling.NewScratch(vocab)
	for _, q := range e.sched.All(nil) {
		j := jobOf(q)
		j.sampler, j.req.Logprobs = sampling.New(sampling.Greedy(), 0, nil, 0), Logprobs{}
		j.limit = 1 << 60
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%(1<<14) == 1<<14-1 {
			b.Fatal("the slots are full: run with fewer iterations")
		}
		e.intake()
		if _, err := e.step(context.Background()); err != nil {
			b.Fatal(err)
		}
		take()
	}
}

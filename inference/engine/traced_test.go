package engine

import (
	"math"
	"testing"
	"time"

	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
)

// TestFailedTracedDraw: a traced draw that fails leaves its tracer to nobody. Tracing keeps what each step did, and a draw
// without it allocates nothing.
func TestFailedTracedDraw(t *testing.T) { //nolint:paralleltest // counts allocations
	row := []float32{1, 2, 3, 4}
	params := sampling.Params{Temperature: 0.8, TopK: 3, TopP: 1, TypicalP: 1, RepetitionPenalty: 1, Seed: 1}
	start := func(trace bool) *job {
		j, err := newJob(Request{
			Prompt: []uint32{1}, MaxTokens: 1 << 10, Sampling: params, Decoder: letters{}, Trace: trace,
		}, runner.Limits{Slots: 1, MaxLength: 1 << 15, VocabSize: len(row)}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	scratch := sampling.NewScratch(len(row))
	nothing := make([]float32, len(row))
	for i := range nothing {
		nothing[i] = float32(math.Inf(-1))
	}
	if _, err := start(true).next(nothing, scratch); err == nil {
		t.Fatal("there was a token to draw")
	}
	plain, copied := start(false), make([]float32, len(row))
	draw := func() {
		copy(copied, row)
		if _, err := plain.next(copied, scratch); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, draw); n > 0 {
		t.Errorf("%v allocations a draw", n)
	}
}

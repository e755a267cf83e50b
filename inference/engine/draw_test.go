package engine_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

// TestDrawnTogether: whichever of two goroutines draws a row, steps of 1 to 12 rows give each request its own tokens, and
// engines end while they draw.
func TestDrawnTogether(t *testing.T) {
	toy := inferencetest.ToyConfig{
		Limits:     runner.Limits{Slots: 12, MaxLength: 100, MaxChunk: 16, VocabSize: 5000},
		BeforeStep: func(runner.Step) error { elapse(time.Millisecond); return nil },
	}
	synctest.Test(t, func(t *testing.T) {
		h := start(t, toy, engine.Config{})
		var outs []*engine.Output
		for i := range 40 {
			outs = append(outs, submit(t, h.Engine, greedy(1+i*2, counting(i, 4)...)))
		}
		for i, out := range outs {
			if got, want := read(t, out).ids, inferencetest.ToyGreedy(toy, counting(i, 4), 1+i*2); !slices.Equal(got, want) {
				t.Errorf("request %d: got %d, want %d", i, got, want)
			}
		}
	})
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			h := start(t, toy, engine.Config{})
			for i := range 12 {
				submit(t, h.Engine, greedy(90, counting(i, 4)...))
			}
			elapse(20 * time.Millisecond)
			h.stop()
			<-h.done
		})
	}
}

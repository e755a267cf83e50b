package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

// uniform is a toy that takes any tokens in one step.
func uniform() inferencetest.ToyConfig {
	return inferencetest.ToyConfig{
		Limits:     runner.Limits{Slots: 8, MaxLength: 300, MaxChunk: 16, Blocks: 40, Uniform: true},
		BeforeStep: func(runner.Step) error { elapse(time.Millisecond); return nil },
	}
}

// TestAnswersAreFound: the next turn of a conversation finds the whole one before it, answer included, but for the part of
// a block at its end, and gets the tokens that it gets without a store.
func TestAnswersAreFound(t *testing.T) {
	turn := func(t *testing.T, h *harness, prompt []uint32) result {
		t.Helper()
		return read(t, submit(t, h.Engine, greedy(50, prompt...)))
	}
	for _, blocks := range []int{0, 40} {
		synctest.Test(t, func(t *testing.T) {
			toy := uniform()
			toy.Limits.Blocks = blocks
			h := start(t, toy, engine.Config{})
			prompt := counting(3, 20)
			first := turn(t, h, prompt)
			prompt = append(append(prompt, first.ids...), counting(9, 7)...)
			second := turn(t, h, prompt)
			if diff := cmp.Diff(inferencetest.ToyGreedy(toy, prompt, 50), second.ids); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
			want := 0
			if blocks > 0 {
				want = (20 + 49) / runner.BlockSize * runner.BlockSize // the last token was never fed
			}
			if got := second.summary.Usage.CachedTokens; got != want {
				t.Errorf("%d blocks: %d tokens of the second turn are cached, want %d", blocks, got, want)
			}
		})
	}
}

// TestShortPromptsPassLongOnes: a short prompt that comes behind a long one has its first token long before it, and the
// long one takes no more than twice its steps.
func TestShortPromptsPassLongOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, uniform(), engine.Config{})
		long := submit(t, h.Engine, greedy(1, counting(1, 256)...)) // 16 steps alone
		elapse(2 * time.Millisecond)
		var short []*engine.Output
		for i := range 6 {
			short = append(short, submit(t, h.Engine, greedy(1, counting(2+i, 16)...)))
		}
		for i, out := range short {
			if got := read(t, out).summary.Timings.TimeToFirstToken; got > time.Duration(3+2*i)*time.Millisecond {
				t.Errorf("short prompt %d waited for %s", i, got)
			}
		}
		if got := read(t, long).summary.Timings.TimeToFirstToken; got < 16*time.Millisecond || got > 23*time.Millisecond {
			t.Errorf("the long prompt took %s", got)
		}
	})
}

package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
)

// repeating is a model that mostly repeats what came five tokens before, as one that copies does.
func repeating(history []uint32) (uint32, bool) {
	n := len(history)
	if n < 5 || n%23 == 0 {
		return 0, false
	}
	return history[n-5], true
}

func repeatingRequest(i int) engine.Request {
	rng := rand.New(rand.NewPCG(uint64(i), 7))
	r := greedy(1+rng.IntN(120), counting(rng.IntN(3), 5+rng.IntN(40))...)
	r.ID = fmt.Sprint(i)
	r.IgnoreEOS = rng.IntN(2) == 0
	r.EOS = []uint32{0}
	switch rng.IntN(4) {
	case 0:
		r.Sampling = sampling.Params{Temperature: 1, TopP: 1, RepetitionPenalty: 1, Seed: uint64(i)}
	case 1:
		r.Sampling.RepetitionPenalty, r.Logprobs = 1.05, engine.Logprobs{Wanted: true, Top: 2}
	case 2:
		r.Stop = engine.Stop{Strings: []string{"\x03\x04"}, TokenIDs: []uint32{9}}
	}
	return r
}

// TestSpeculationDoesNotShow: requests give the same tokens, text, log-probabilities and finish with speculation and
// without, alone and among others, and it saves steps.
func TestSpeculationDoesNotShow(t *testing.T) {
	const requests = 40
	limits := runner.Limits{Slots: 3, MaxLength: 140, MaxChunk: 16, Blocks: 4}
	toy := func(maxDraft int) inferencetest.ToyConfig {
		l := limits
		l.MaxDraft = maxDraft
		return inferencetest.ToyConfig{
			Limits: l, Script: repeating,
			BeforeStep: func(runner.Step) error { elapse(time.Millisecond); return nil },
		}
	}
	var want [requests]result
	steps := 0
	synctest.Test(t, func(t *testing.T) {
		h := start(t, toy(8), engine.Config{NoSpeculation: true})
		for i := range want {
			want[i] = read(t, submit(t, h.Engine, repeatingRequest(i)))
		}
		steps = h.toy.Steps()
		if s := h.Stats(); s.DraftedTokens != 0 {
			t.Errorf("%d tokens were guessed with speculation off", s.DraftedTokens)
		}
	})
	check := func(t *testing.T, i int, got result) {
		t.Helper()
		diff := cmp.Diff(want[i].ids, got.ids) + cmp.Diff(want[i].text, got.text) + cmp.Diff(want[i].finish, got.finish) +
			cmp.Diff(want[i].scores, got.scores) + cmp.Diff(want[i].summary.Usage.CompletionTokens, got.summary.Usage.CompletionTokens)
		if diff != "" || got.err != nil {
			t.Errorf("request %d: %v, without speculation (-) and with it (+):\n%s", i, got.err, diff)
		}
	}
	for _, maxDraft := range []int{1, 3, 8} {
		t.Run(fmt.Sprintf("one after another, drafts of %d", maxDraft), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := start(t, toy(maxDraft), engine.Config{})
				for i := range requests {
					check(t, i, read(t, submit(t, h.Engine, repeatingRequest(i))))
				}
				s := h.Stats()
				t.Logf("%d steps instead of %d, %d of %d guesses were right", h.toy.Steps(), steps, s.AcceptedTokens, s.DraftedTokens)
				if h.toy.Steps() > steps*3/4 || s.AcceptedTokens == 0 || s.AcceptedTokens >= s.DraftedTokens {
					t.Errorf("%d steps instead of %d, %d of %d guesses were right", h.toy.Steps(), steps, s.AcceptedTokens, s.DraftedTokens)
				}
			})
		})
	}
	for _, uniform := range []bool{false, true} {
		t.Run(fmt.Sprintf("together, some cancelled, uniform %t", uniform), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(4, 4))
				cfg := toy(8)
				cfg.Limits.Uniform = uniform
				h := start(t, cfg, engine.Config{})
				var wg sync.WaitGroup
				for i := range requests {
					delay := time.Duration(rng.IntN(3000)) * time.Millisecond
					cancelled := rng.IntN(4) == 0
					wg.Go(func() {
						elapse(delay)
						if cancelled {
							ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
							defer cancel()
							read(t, submitCtx(ctx, t, h.Engine, repeatingRequest(i)))
						}
						check(t, i, read(t, submit(t, h.Engine, repeatingRequest(i))))
					})
				}
				wg.Wait()
				if h.Stats().AcceptedTokens == 0 {
					t.Error("no guess was right")
				}
			})
		})
	}
}

// TestDraftsKeepToTheBudget: what rows and their drafts take together stays within the positions that the slots may hold.
func TestDraftsKeepToTheBudget(t *testing.T) {
	limits := runner.Limits{Slots: 6, MaxLength: 180, MaxChunk: 16, MaxDraft: 8, Uniform: true}
	for _, budget := range []int{180, 250, 400} {
		t.Run(fmt.Sprint(budget), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				most := 0
				h := start(t, inferencetest.ToyConfig{
					Limits: limits, Script: repeating,
					BeforeStep: func(step runner.Step) error {
						n := 0
						for _, row := range step.Decode {
							n += row.Past + 1 + len(row.Draft)
						}
						for _, c := range step.Chunks {
							n += c.Past + len(c.Tokens)
						}
						most = max(most, n)
						elapse(time.Millisecond)
						return nil
					},
				}, engine.Config{KVTokens: budget})
				var wg sync.WaitGroup
				for i := range 40 {
					wg.Go(func() {
						elapse(time.Duration(i*3) * time.Millisecond)
						read(t, submit(t, h.Engine, repeatingRequest(i)))
					})
				}
				wg.Wait()
				if s := h.Stats(); most > budget || s.AcceptedTokens == 0 || s.Preemptions == 0 {
					t.Errorf("a step held %d positions, of %d; %+v", most, budget, s)
				}
			})
		})
	}
}

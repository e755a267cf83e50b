package engine_test

import (
	"errors"
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
)

// draftable is a uniform toy whose steps take a time, and more with every token.
func draftable(base, perToken time.Duration, script func([]uint32) (uint32, bool)) inferencetest.ToyConfig {
	return inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: 3, MaxLength: 140, MaxChunk: 16, MaxDraft: 8, Uniform: true},
		Script: script,
		BeforeStep: func(step runner.Step) error {
			elapse(base + perToken*time.Duration(step.Tokens()))
			return nil
		},
	}
}

// TestDraftModelDoesNotShow: with a draft model, be it the model itself, one that is right now and then or one that never
// is, requests give the same tokens, text, log-probabilities and finish as without, alone and among others, some of which
// are cancelled, lose their slots or share a prompt.
func TestDraftModelDoesNotShow(t *testing.T) {
	const requests = 40
	model := draftable(20*time.Millisecond, time.Millisecond, nil) // nothing repeats itself: tokens are hashes
	model.Limits.Blocks = 8
	sometimes := func(history []uint32) (uint32, bool) { return 7, len(history)%3 == 0 }
	never := func([]uint32) (uint32, bool) { return 255, true }
	var want [requests]result
	synctest.Test(t, func(t *testing.T) {
		h := start(t, model, engine.Config{NoSpeculation: true})
		for i := range want {
			want[i] = read(t, submit(t, h.Engine, repeatingRequest(i)))
		}
	})
	for name, script := range map[string]func([]uint32) (uint32, bool){"itself": nil, "sometimes right": sometimes, "never right": never} {
		for _, budget := range []int{0, 200} {
			t.Run(fmt.Sprintf("%s, %d positions", name, budget), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rng := rand.New(rand.NewPCG(4, 4))
					draft := inferencetest.NewToy(draftable(time.Millisecond, 0, script))
					h := start(t, model, engine.Config{Draft: draft, KVTokens: budget})
					var wg sync.WaitGroup
					for i := range requests {
						delay := time.Duration(rng.IntN(30)) * time.Second
						cancelled := rng.IntN(4) == 0
						wg.Go(func() {
							elapse(delay)
							if cancelled {
								out := submit(t, h.Engine, repeatingRequest(i))
								elapse(time.Duration(i*20) * time.Millisecond)
								out.Close()
							}
							got := read(t, submit(t, h.Engine, repeatingRequest(i)))
							diff := cmp.Diff(want[i].ids, got.ids) + cmp.Diff(want[i].text, got.text) + cmp.Diff(want[i].finish, got.finish) +
								cmp.Diff(want[i].scores, got.scores)
							if diff != "" || got.err != nil {
								t.Errorf("request %d: %v, without a draft model (-) and with it (+):\n%s", i, got.err, diff)
							}
						})
					}
					wg.Wait()
					s := h.Stats()
					t.Logf("%d of %d guesses were right, %d steps and %d of the draft model", s.ModelAcceptedTokens, s.ModelDraftedTokens, h.toy.Steps(), draft.Steps())
					if name != "never right" && s.ModelAcceptedTokens == 0 || s.ModelDraftedTokens == 0 {
						t.Errorf("%d of %d guesses were right", s.ModelAcceptedTokens, s.ModelDraftedTokens)
					}
				})
			})
		}
	}
}

// TestDraftModelPays: a model that is its own draft is always right, and saves steps; one that is never right is left alone
// soon, and costs no more than some tries; one that is as slow as the model itself is not used.
func TestDraftModelPays(t *testing.T) {
	const tokens = 120
	timeOf := func(t *testing.T, cfg engine.Config, requests int) (took time.Duration, stats engine.Stats) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			h := start(t, draftable(20*time.Millisecond, 100*time.Microsecond, nil), cfg)
			read(t, submit(t, h.Engine, greedy(4, 9, 9))) // what steps take
			began := time.Now()
			for i := range requests {
				read(t, submit(t, h.Engine, greedy(tokens, counting(i, 10)...)))
			}
			took, stats = time.Since(began), h.Stats()
		})
		return took, stats
	}
	plain, _ := timeOf(t, engine.Config{NoSpeculation: true}, 20)
	for name, test := range map[string]struct {
		draft inferencetest.ToyConfig
		most  float64 // time, of that without
		right func(s engine.Stats) bool
	}{
		"itself, ten times as fast": {
			draftable(2*time.Millisecond, 0, nil), 0.4,
			func(s engine.Stats) bool {
				return s.ModelAcceptedTokens == s.ModelDraftedTokens && s.ModelDraftedTokens > 20*tokens/2
			},
		},
		"never right": {
			draftable(2*time.Millisecond, 0, func([]uint32) (uint32, bool) { return 255, true }), 1.02,
			func(s engine.Stats) bool { return s.ModelAcceptedTokens < 10 && s.ModelDraftedTokens < 100 },
		},
		"itself, as slow": {
			draftable(20*time.Millisecond, 0, nil), 1.02,
			func(s engine.Stats) bool { return s.ModelDraftedTokens < 100 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			took, stats := timeOf(t, engine.Config{Draft: inferencetest.NewToy(test.draft)}, 20)
			t.Logf("%.2f of the time, %d of %d guesses were right", float64(took)/float64(plain), stats.ModelAcceptedTokens, stats.ModelDraftedTokens)
			if float64(took) > test.most*float64(plain) || !test.right(stats) {
				t.Errorf("%.3f of the time, at most %v; %d of %d guesses were right", float64(took)/float64(plain), test.most,
					stats.ModelAcceptedTokens, stats.ModelDraftedTokens)
			}
		})
	}
}

// TestDraftModelFails: a draft model that fails is the engine's failure, and one that cannot be one is refused.
func TestDraftModelFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		cfg := draftable(time.Millisecond, 0, nil)
		steps := 0
		cfg.BeforeStep = func(runner.Step) error {
			if steps++; steps > 3 {
				return broken
			}
			return nil
		}
		h := start(t, draftable(20*time.Millisecond, 0, nil), engine.Config{Draft: inferencetest.NewToy(cfg)})
		got := read(t, submit(t, h.Engine, greedy(100, counting(1, 10)...)))
		if _, failed := errors.AsType[*engine.FailedError](got.err); !failed || !errors.Is(h.wait(), broken) {
			t.Errorf("the request ended with %v, the engine with %v", got.err, h.err)
		}
	})
	for name, change := range map[string]func(*runner.Limits){
		"not uniform":       func(l *runner.Limits) { l.Uniform = false },
		"fewer slots":       func(l *runner.Limits) { l.Slots = 1 },
		"fewer tokens":      func(l *runner.Limits) { l.VocabSize = 200 },
		"without any draft": func(l *runner.Limits) { l.MaxDraft = 0 },
	} {
		cfg := draftable(0, 0, nil)
		change(&cfg.Limits)
		if _, err := engine.New(inferencetest.NewToy(draftable(0, 0, nil)), engine.Config{Draft: inferencetest.NewToy(cfg)}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

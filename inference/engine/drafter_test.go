package engine_test

import (
	"errors"
	"fmt"
	"math"
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
		"without any draft": func(l *runner.Limits) { l.MaxDraft = 0 },
	} {
		cfg := draftable(0, 0, nil)
		change(&cfg.Limits)
		if _, err := engine.New(inferencetest.NewToy(draftable(0, 0, nil)), engine.Config{Draft: inferencetest.NewToy(cfg)}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// numberless is a draft model that has NaN for the slot that it sees first, once it was asked so often for it.
type numberless struct {
	*inferencetest.Toy

	after int
	slot  int         // -1: none yet
	asked map[int]int // guesses, by slot
}

func (s *numberless) Step(step runner.Step) (runner.Logits, error) {
	logits, err := s.Toy.Step(step)
	drafted := logits.Draft
	for i, r := range step.Decode {
		row := logits.Decode[i]
		if n := len(r.Draft); n > 0 {
			row, drafted = drafted[n-1], drafted[n:]
		}
		if s.slot < 0 {
			s.slot = r.Slot
		}
		if s.asked[r.Slot]++; r.Slot == s.slot && s.asked[r.Slot] > s.after {
			row[5] = float32(math.NaN())
		}
	}
	return logits, err
}

// TestDraftModelWithoutNumbers: a NaN of the draft model ends no request. It is not asked again for the sequence, and is for
// others.
func TestDraftModelWithoutNumbers(t *testing.T) {
	model := draftable(20*time.Millisecond, time.Millisecond, nil)
	for _, after := range []int{0, 2} { // at the first guess, and within a draft
		synctest.Test(t, func(t *testing.T) {
			plain := start(t, model, engine.Config{NoSpeculation: true})
			draft := &numberless{Toy: inferencetest.NewToy(draftable(time.Millisecond, 0, nil)), after: after, slot: -1, asked: map[int]int{}}
			h := start(t, model, engine.Config{Draft: draft})
			outs := [...]*engine.Output{submit(t, h.Engine, greedy(100, counting(1, 10)...)), submit(t, h.Engine, greedy(100, counting(2, 10)...))}
			for i, out := range outs {
				want, got := read(t, submit(t, plain.Engine, greedy(100, counting(1+i, 10)...))), read(t, out)
				if diff := cmp.Diff(want.ids, got.ids); got.err != nil || diff != "" {
					t.Errorf("request %d: %v, without a draft model (-) and with it (+):\n%s", i, got.err, diff)
				}
			}
			bad := draft.asked[draft.slot]
			delete(draft.asked, draft.slot)
			for slot, n := range draft.asked {
				if n < 20 {
					t.Errorf("%d guesses for the other sequence, in slot %d", n, slot)
				}
			}
			if bad != after+1 || len(draft.asked) != 1 {
				t.Errorf("asked %d times for the sequence of the NaN, want %d, and for %d others", bad, after+1, len(draft.asked))
			}
		})
	}
}

// TestDraftModelOfAnotherSize: graphs pad their vocabularies. A draft model with fewer tokens guesses for the sequences whose
// tokens it knows, and one with more guesses none that the model does not have.
func TestDraftModelOfAnotherSize(t *testing.T) {
	script := func(h []uint32) (uint32, bool) { // no token comes twice
		if h[0] == 2 && len(h) == 30 {
			return 255, true
		}
		return uint32(len(h) * 37 % 200), true
	}
	for _, test := range []struct {
		size   int
		script func([]uint32) (uint32, bool)
	}{
		{200, func(h []uint32) (uint32, bool) { id, ok := script(h); return min(id, 199), ok }},
		{300, func(h []uint32) (uint32, bool) {
			if len(h)%4 == 0 {
				return 299, true
			}
			return script(h)
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			draft := draftable(time.Millisecond, 0, test.script)
			draft.Limits.VocabSize = test.size
			draft.BeforeStep = func(step runner.Step) error {
				elapse(time.Millisecond)
				for _, row := range step.Decode {
					if whole := test.size <= 256; row.Greedy != whole {
						return fmt.Errorf("only the best of all logits is read: %t, though all of them are: %t", row.Greedy, whole)
					}
				}
				return nil
			}
			model := draftable(20*time.Millisecond, time.Millisecond, script)
			h, plain := start(t, model, engine.Config{Draft: inferencetest.NewToy(draft)}), start(t, model, engine.Config{NoSpeculation: true})
			// Known tokens only; one in the output; one at the prompt's start; one at its end.
			for i, prompt := range [][]uint32{counting(1, 10), counting(2, 10), {250, 3, 4}, {3, 4, 250}} {
				before := h.Stats().ModelAcceptedTokens
				want, got := read(t, submit(t, plain.Engine, greedy(100, prompt...))), read(t, submit(t, h.Engine, greedy(100, prompt...)))
				if diff := cmp.Diff(want.ids, got.ids); got.err != nil || diff != "" {
					t.Fatalf("%d tokens, request %d: %v, without a draft model (-) and with it (+):\n%s", test.size, i, got.err, diff)
				}
				accepted := h.Stats().ModelAcceptedTokens - before
				if mayGuess := i < 2 || test.size > 256; mayGuess != (accepted > 0) {
					t.Errorf("%d tokens, request %d: %d guesses were right", test.size, i, accepted)
				}
			}
		})
	}
}

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

// mixedRequest is a request of random length and parameters, the same for the same number.
func mixedRequest(i int) engine.Request {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	r := greedy(1+rng.IntN(60), counting(i, 1+rng.IntN(90))...)
	r.ID = fmt.Sprint(i)
	r.EOS = []uint32{0}
	switch i % 5 {
	case 4:
		r.Sampling = sampling.Params{
			Temperature: 1.5, TopP: 1, RepetitionPenalty: 1, TypicalP: 0.8, NoRepeatNGram: 2, MinTokens: 20, Seed: 5,
			Bias: []sampling.Bias{{ID: 0, Value: 20}, {ID: 5, Value: 20}}, BadWords: [][]uint32{{7}, {5, 5}},
		}
	case 1:
		r.Sampling.Temperature, r.Sampling.Seed = 1, uint64(i)
	case 2:
		r.Sampling = sampling.Params{
			Temperature: 0.7, TopK: 40, TopP: 0.9, MinP: 0.01,
			RepetitionPenalty: 1.2, PresencePenalty: 0.3, FrequencyPenalty: 0.2, Seed: 9,
		}
	case 3:
		r.Stop.TokenIDs = []uint32{uint32(rng.IntN(256)), 17}
		r.Sampling.RepetitionPenalty = 1.5
	}
	return r
}

// TestConcurrentEqualsAlone: 32 requests of mixed lengths and parameters that share steps, at various sizes, give
// each exactly what it gives alone.
func TestConcurrentEqualsAlone(t *testing.T) {
	const requests = 32
	var alone [requests]result
	for i := range alone {
		synctest.Test(t, func(t *testing.T) {
			h := start(t, inferencetest.ToyConfig{Limits: runner.Limits{Slots: 1, MaxLength: 160, MaxChunk: 160}},
				engine.Config{})
			alone[i] = read(t, submit(t, h.Engine, mixedRequest(i)))
			if alone[i].err != nil || alone[i].finish == nil {
				t.Errorf("request %d alone: finish %v, error %v", i, alone[i].finish, alone[i].err)
			}
		})
	}
	for _, limits := range []runner.Limits{
		{Slots: 8, MaxLength: 160, MaxChunk: 16},
		{Slots: 32, MaxLength: 160, MaxChunk: 5},
		{Slots: 3, MaxLength: 200, MaxChunk: 1},
		{Slots: 1, MaxLength: 160, MaxChunk: 64},
		{Slots: 8, MaxLength: 160, MaxChunk: 16, Uniform: true, MaxDraft: 4},
		{Slots: 32, MaxLength: 160, MaxChunk: 5, Uniform: true},
		{Slots: 12, MaxLength: 160, MaxChunk: 100, Uniform: true, Blocks: 9},
	} {
		t.Run(fmt.Sprintf("%d slots, chunks of %d, uniform %t", limits.Slots, limits.MaxChunk, limits.Uniform), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(3, 3))
				h := start(t, inferencetest.ToyConfig{
					Limits:     limits,
					BeforeStep: func(runner.Step) error { elapse(time.Millisecond); return nil },
				}, engine.Config{})
				var wg sync.WaitGroup
				for i := range requests {
					delay := time.Duration(rng.IntN(200)) * time.Millisecond
					wg.Go(func() {
						elapse(delay)
						got := read(t, submit(t, h.Engine, mixedRequest(i)))
						if diff := cmp.Diff(alone[i].ids, got.ids); diff != "" {
							t.Errorf("request %d: tokens alone (-) and together (+):\n%s", i, diff)
						}
						if got.text != alone[i].text || *got.finish != *alone[i].finish || got.err != nil {
							t.Errorf("request %d: %+v, alone %+v", i, got, alone[i])
						}
					})
				}
				wg.Wait()
				synctest.Wait()
				if s := h.Stats(); s.Running != 0 || s.Waiting != 0 {
					t.Errorf("after the last request: %+v", s)
				}
				elapse(time.Minute) // free slots keep their memory for a while
				synctest.Wait()
				for slot := range limits.Slots {
					if n := h.toy.Held(slot); n != 0 {
						t.Errorf("slot %d still holds %d positions", slot, n)
					}
				}
			})
		})
	}
}

// TestGreedyIsTheModels: the tokens are those that the toy's definition gives, so that alone isn't wrong too.
func TestGreedyIsTheModels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toy := inferencetest.ToyConfig{Limits: runner.Limits{MaxLength: 128, MaxChunk: 7}}
		h := start(t, toy, engine.Config{})
		prompt := counting(5, 30)
		got := read(t, submit(t, h.Engine, greedy(50, prompt...)))
		if diff := cmp.Diff(inferencetest.ToyGreedy(toy, prompt, 50), got.ids); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
	})
}

// TestStepsShareWork: requests that come together are in the same steps, and a chunk rides along with rows.
func TestStepsShareWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []string
		h := start(t, inferencetest.ToyConfig{BeforeStep: func(s runner.Step) error {
			line := fmt.Sprintf("%d rows", len(s.Decode))
			for _, c := range s.Chunks {
				line += fmt.Sprintf(", chunk of %d in slot %d", len(c.Tokens), c.Slot)
			}
			steps = append(steps, line)
			elapse(time.Millisecond)
			return nil
		}}, engine.Config{})
		a := submit(t, h.Engine, greedy(6, counting(1, 3)...))
		b := submit(t, h.Engine, greedy(3, counting(2, 17)...))
		read(t, a)
		read(t, b)
		want := []string{
			"0 rows, chunk of 3 in slot 0",
			"1 rows, chunk of 8 in slot 1",
			"1 rows, chunk of 8 in slot 1",
			"1 rows, chunk of 1 in slot 1",
			"2 rows",
			"2 rows",
		}
		if diff := cmp.Diff(want, steps); diff != "" {
			t.Errorf("steps: want (-), got (+):\n%s", diff)
		}
	})
}

// TestTimings: with steps of 10 ms, a prompt of two chunks and three tokens behind another request's.
func TestTimings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, inferencetest.ToyConfig{
			Limits:     runner.Limits{Slots: 1},
			BeforeStep: func(runner.Step) error { elapse(10 * time.Millisecond); return nil },
		}, engine.Config{})
		first := submit(t, h.Engine, greedy(4, 1)) // 40 ms
		r := greedy(3, counting(1, 10)...)
		r.Arrival = time.Now().Add(-5 * time.Millisecond)
		second := submit(t, h.Engine, r)
		read(t, first)
		got := read(t, second)
		want := engine.Summary{
			Usage: engine.Usage{PromptTokens: 10, CompletionTokens: 3},
			Timings: engine.Timings{
				Queue:            40 * time.Millisecond,
				Prefill:          20 * time.Millisecond,
				TimeToFirstToken: 65 * time.Millisecond,
				Decode:           20 * time.Millisecond,
			},
		}
		if diff := cmp.Diff(want, got.summary); diff != "" {
			t.Errorf("summary: want (-), got (+):\n%s", diff)
		}
	})
}

// TestCoalescing: a reader that comes late gets everything in one update.
func TestCoalescing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, inferencetest.ToyConfig{Script: saying(1, "hello")}, engine.Config{})
		r := greedy(10, 1)
		r.EOS = []uint32{0}
		out := submit(t, h.Engine, r)
		synctest.Wait()
		got := read(t, out)
		if got.updates != 1 || got.text != "hello" || len(got.ids) != 6 || got.finish.Reason != engine.FinishStop {
			t.Errorf("got %+v", got)
		}
	})
}

// TestNextEndsWithItsContext: the request goes on, and the next call gets what came.
func TestNextEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, inferencetest.ToyConfig{
			Script:     saying(1, "ab"),
			BeforeStep: func(runner.Step) error { elapse(time.Second); return nil },
		}, engine.Config{})
		out := submit(t, h.Engine, greedy(2, 1))
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if _, err := out.Next(ctx); err != context.DeadlineExceeded { //nolint:errorlint // exactly the cause
			t.Errorf("Next gave %v", err)
		}
		if got := read(t, out); got.text != "ab" || got.err != nil {
			t.Errorf("got %+v", got)
		}
	})
}

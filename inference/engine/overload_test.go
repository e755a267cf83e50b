package engine_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

// TestOverload offers the engine 1, 2, 4 and 8 times what it can do, by the clock of a bubble: what it generates for those
// that it admits stays at its peak, and they wait no longer than at capacity. The steps take the time that the default
// model's take on two cores. `make overload` does the same to a real server.
func TestOverload(t *testing.T) {
	const slots, prompt, tokens, window = 16, 8, 32, 60 * time.Second
	start := func(t *testing.T) *harness {
		return start(t, inferencetest.ToyConfig{
			Limits: runner.Limits{Slots: slots, MaxLength: 64, MaxChunk: 16},
			BeforeStep: func(s runner.Step) error {
				took := 6*time.Millisecond + time.Duration(len(s.Decode))*1500*time.Microsecond
				for _, c := range s.Chunks {
					took += time.Duration(len(c.Tokens)) * 500 * time.Microsecond
				}
				elapse(took)
				return nil
			},
		}, engine.Config{QueueTime: time.Second})
	}
	// run lets requests come, each after the pause that the last one's gap says, and returns how many were offered, the
	// times to first token of those that were served, and how many were refused.
	run := func(h *harness, arrive func(i int) bool) (first []time.Duration, refused int) {
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := 0; arrive(i); i++ {
			out, err := h.Submit(context.Background(), greedy(tokens, counting(i, prompt)...))
			if _, full := errors.AsType[*engine.QueueFullError](err); full {
				refused++
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				got := read(t, out)
				if got.err != nil || len(got.ids) != tokens {
					t.Errorf("an admitted request: %d tokens, %v", len(got.ids), got.err)
				}
				mu.Lock()
				defer mu.Unlock()
				first = append(first, got.summary.Timings.TimeToFirstToken)
			})
		}
		all.Wait()
		return first, refused
	}

	var capacity float64 // requests a second
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		began, served := time.Now(), 0
		var streams sync.WaitGroup
		for i := range slots {
			streams.Go(func() {
				for time.Since(began) < window {
					read(t, submit(t, h.Engine, greedy(tokens, counting(i, prompt)...)))
				}
			})
		}
		streams.Wait()
		served = h.Stats().DecodedTokens / tokens
		capacity = float64(served) / time.Since(began).Seconds()
	})
	var atCapacity time.Duration
	for _, times := range []float64{1, 2, 4, 8} {
		synctest.Test(t, func(t *testing.T) {
			h := start(t)
			random, began := rand.New(rand.NewPCG(1, uint64(times))), time.Now()
			offered := 0
			first, refused := run(h, func(int) bool {
				elapse(time.Duration(random.ExpFloat64() / (times * capacity) * float64(time.Second)))
				offered++
				return time.Since(began) < window
			})
			goodput := float64(len(first)) / time.Since(began).Seconds() // with its beginning and end, when slots are free
			slices.Sort(first)
			p99 := first[len(first)*99/100]
			t.Logf("%g times: %d offered, %d served, %.2f of %.2f requests/s, first token p50 %s p99 %s, %d refused", times, offered-1,
				len(first), goodput, capacity, first[len(first)/2].Round(time.Millisecond), p99.Round(time.Millisecond), refused)
			if times == 1 {
				atCapacity = p99
			}
			if least := 0.95 * min(capacity, float64(offered)/window.Seconds()); goodput < least {
				t.Errorf("%g times: %.2f requests/s, less than %.2f", times, goodput, least)
			}
			if p99 > 2*atCapacity {
				t.Errorf("%g times: first token after %s, at capacity %s", times, p99, atCapacity)
			}
		})
	}
}

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

const hiddenSize = 5

// pooledAlone is the vector of a prompt, computed without an engine.
func pooledAlone(kind engine.Pooling, prompt []uint32) []float32 {
	states := make([][]float32, len(prompt))
	for i := range prompt {
		states[i] = inferencetest.ToyHidden(hiddenSize, prompt[:i+1])
	}
	switch kind {
	case engine.PoolFirst:
		return states[0]
	case engine.PoolLast:
		return states[len(states)-1]
	case engine.PoolNone, engine.PoolMean:
	}
	mean := make([]float32, hiddenSize)
	for i := range mean {
		sum := 0.0
		for _, s := range states {
			sum += float64(s[i])
		}
		mean[i] = float32(sum / float64(len(states)))
	}
	return mean
}

// readVector takes a request to its end, which comes with its vector.
func readVector(t *testing.T, out *engine.Output) (vector []float32, summary engine.Summary) {
	t.Helper()
	for {
		u, err := out.Next(context.Background())
		if err != nil {
			return vector, out.Summary()
		}
		if u.Vector != nil {
			vector = u.Vector
		}
		if u.Text != "" || u.TokenIDs != nil {
			t.Error("a request for a vector gave tokens")
		}
	}
}

// TestPooling: vectors are those of the prompts alone, whatever shares their steps, however they are cut, with a prefix
// store that holds their beginnings, and where they or others lose their slots.
func TestPooling(t *testing.T) {
	for _, limits := range []runner.Limits{
		{Slots: 3, MaxLength: 100, MaxChunk: 7},
		{Slots: 3, MaxLength: 100, MaxChunk: 40, Blocks: 8},
		{Slots: 6, MaxLength: 100, MaxChunk: 33, Blocks: 20, Uniform: true, MaxDraft: 4},
	} {
		limits.HiddenSize = hiddenSize
		for _, kvTokens := range []int{0, 150} {
			synctest.Test(t, func(t *testing.T) {
				toy := inferencetest.ToyConfig{
					Limits: limits, BeforeStep: func(runner.Step) error { elapse(time.Millisecond); return nil },
				}
				h := start(t, toy, engine.Config{KVTokens: kvTokens})
				generated := make(chan result)
				for i := range 4 {
					go func() { generated <- read(t, submit(t, h.Engine, greedy(50, counting(i, 9)...))) }()
				}
				const n = 24
				done := make(chan struct{})
				var cached atomic.Int32
				for i := range n {
					go func() {
						defer func() { done <- struct{}{} }()
						elapse(time.Duration(i) * time.Millisecond)
						kind := engine.PoolMean + engine.Pooling(i%3)
						prompt := counting(i%2, 1+(i*17)%90)
						vector, summary := readVector(t, submit(t, h.Engine, engine.Request{ID: fmt.Sprint(i), Prompt: prompt, Pooling: kind}))
						if !slices.Equal(vector, pooledAlone(kind, prompt)) {
							t.Errorf("%+v, budget %d: request %d of %d tokens, kind %d: got %v", limits, kvTokens, i, len(prompt), kind, vector)
						}
						if u := summary.Usage; u.PromptTokens != len(prompt) || u.CompletionTokens != 0 || u.CachedTokens > 0 && kind != engine.PoolLast {
							t.Errorf("request %d, kind %d: %+v", i, kind, u)
						} else if u.CachedTokens > 0 {
							cached.Add(1)
						}
					}()
				}
				for range n {
					<-done
				}
				if limits.Blocks > 0 && cached.Load() == 0 {
					t.Error("no prompt began as one of the prefix store")
				}
				if kvTokens > 0 && h.Stats().Preemptions == 0 {
					t.Error("no request lost its slot")
				}
				for range 4 {
					if r := <-generated; r.err != nil || len(r.ids) != 50 {
						t.Errorf("a request beside gave %d tokens, %v", len(r.ids), r.err)
					}
				}
			})
		}
	}
}

// TestPoolingEnds: a request for a vector ends as others do, and one that cannot be had is refused.
func TestPoolingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toy := inferencetest.ToyConfig{
			Limits:     runner.Limits{Slots: 1, MaxLength: 100, MaxChunk: 1, HiddenSize: hiddenSize},
			BeforeStep: func(runner.Step) error { elapse(time.Millisecond); return nil },
		}
		h := start(t, toy, engine.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		out := submitCtx(ctx, t, h.Engine, engine.Request{Prompt: counting(1, 90), Pooling: engine.PoolMean})
		if _, err := out.Next(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		for _, r := range []engine.Request{
			{Prompt: counting(1, 9), Pooling: engine.PoolFirst + 1},
			{Prompt: counting(1, 9), Pooling: engine.PoolMean, PromptLogprobs: engine.Logprobs{Wanted: true}},
			{Prompt: counting(1, 100), Pooling: engine.PoolMean},
		} {
			if _, err := h.Submit(t.Context(), r); !errors.Is(err, engine.ErrInvalid) {
				t.Errorf("%+v: got %v", r, err)
			}
		}
		none := start(t, inferencetest.ToyConfig{}, engine.Config{})
		if _, err := none.Submit(t.Context(), engine.Request{Prompt: counting(1, 9), Pooling: engine.PoolMean}); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("a session without hidden states: got %v", err)
		}
	})
}

// TestPoolingOfNoNumbers: a vector that is none ends its request alone.
func TestPoolingOfNoNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := &infinite{Toy: inferencetest.NewToy(inferencetest.ToyConfig{Limits: runner.Limits{HiddenSize: hiddenSize}})}
		h := startOn(t, session, engine.Config{})
		_, err := submit(t, h.Engine, engine.Request{Prompt: counting(1, 9), Pooling: engine.PoolMean}).Next(t.Context())
		if _, ok := errors.AsType[*engine.FailedError](err); !ok {
			t.Errorf("got %v", err)
		}
		if r := read(t, submit(t, h.Engine, greedy(3, 1, 2))); r.err != nil {
			t.Errorf("the next request: %v", r.err)
		}
	})
}

// infinite is a session whose hidden states are beyond all numbers.
type infinite struct{ *inferencetest.Toy }

func (s *infinite) Step(step runner.Step) (runner.Logits, error) {
	logits, err := s.Toy.Step(step)
	for _, states := range logits.Hidden {
		states[2] = float32(math.Inf(1))
	}
	return logits, err
}

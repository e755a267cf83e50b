package engine_test

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
)

// scores are the log-probabilities that a toy gives a sequence, token by token, with the n most likely ones.
func scores(t *testing.T, toy inferencetest.ToyConfig, tokens []uint32, n int) []engine.TokenLogprobs {
	t.Helper()
	session := inferencetest.NewToy(toy)
	scratch := sampling.NewScratch(session.Limits().VocabSize)
	out := []engine.TokenLogprobs{{Token: sampling.Logprob{ID: tokens[0]}, Top: []sampling.Logprob{}}}
	for at := range len(tokens) - 1 {
		got, err := session.Step(runner.Step{Chunks: []runner.Chunk{{Tokens: tokens[at : at+1], Past: at, Logits: true}}})
		if err != nil {
			t.Fatal(err)
		}
		entries, err := scratch.Logprobs(nil, got.Chunks[0], tokens[at+1], n)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, engine.TokenLogprobs{Token: entries[0], Top: entries[1:]})
	}
	return out
}

// TestLogprobs: those of prompt and output are those of the model, whatever the chunks, the sampling and the company.
func TestLogprobs(t *testing.T) {
	for _, chunk := range []int{1, 7, 40} {
		synctest.Test(t, func(t *testing.T) {
			toy := inferencetest.ToyConfig{
				Limits:     runner.Limits{MaxLength: 128, MaxChunk: chunk},
				BeforeStep: func(runner.Step) error { elapse(time.Millisecond); return nil },
			}
			h := start(t, toy, engine.Config{})
			beside := submit(t, h.Engine, greedy(60, counting(3, 20)...))
			r := greedy(10, counting(9, 37)...)
			r.Sampling = sampling.Params{
				Temperature: 0.5, TopP: 0.9, RepetitionPenalty: 1.5, Seed: 4, Bias: []sampling.Bias{{ID: 7, Value: 30}},
			}
			r.Logprobs, r.PromptLogprobs = engine.Logprobs{Wanted: true, Top: 3}, engine.Logprobs{Wanted: true, Top: 2}
			got := read(t, submit(t, h.Engine, r))
			if got.err != nil || len(got.ids) != 10 {
				t.Fatalf("got %+v", got)
			}
			toy.BeforeStep = nil
			all := append(append([]uint32(nil), r.Prompt...), got.ids...)
			if diff := cmp.Diff(scores(t, toy, all[:37], 2), got.prompt); diff != "" {
				t.Errorf("chunks of %d, prompt: want (-), got (+):\n%s", chunk, diff)
			}
			if diff := cmp.Diff(scores(t, toy, all, 3)[37:], got.scores); diff != "" {
				t.Errorf("chunks of %d, output: want (-), got (+):\n%s", chunk, diff)
			}
			r.Logprobs, r.PromptLogprobs = engine.Logprobs{}, engine.Logprobs{Wanted: true}
			r.Decoder = &byteDecoder{}
			again := read(t, submit(t, h.Engine, r))
			if again.text != got.text || again.scores != nil || len(again.prompt) != 37 || len(again.prompt[1].Top) > 0 {
				t.Errorf("prompt only: %+v", again)
			}
			if n := len(read(t, beside).prompt); n > 0 {
				t.Errorf("a request that asked for none has %d", n)
			}
		})
	}
}

// TestLogprobsOfABrokenPrompt: NaN in the middle of a prompt ends this request alone.
func TestLogprobsOfABrokenPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := &brokenRows{Toy: inferencetest.NewToy(inferencetest.ToyConfig{Limits: runner.Limits{MaxLength: 128}})}
		h := startOn(t, session, engine.Config{})
		r := greedy(3, counting(1, 60)...)
		r.PromptLogprobs.Wanted = true
		got := read(t, submit(t, h.Engine, r))
		var failed *engine.FailedError
		if !errors.As(got.err, &failed) || len(got.prompt) != 9 { // the first, and a chunk of 8
			t.Errorf("%d entries, error %v", len(got.prompt), got.err)
		}
		if got := read(t, submit(t, h.Engine, greedy(3, 1))); got.err != nil || len(got.ids) != 3 {
			t.Errorf("the next request: %+v", got)
		}
	})
}

// brokenRows is a toy whose second chunk of rows has a NaN.
type brokenRows struct {
	*inferencetest.Toy

	chunks int
}

func (s *brokenRows) Step(st runner.Step) (runner.Logits, error) {
	l, err := s.Toy.Step(st)
	if l.Rows != nil {
		if s.chunks++; s.chunks == 2 {
			l.Rows[3][5] = float32(math.NaN())
		}
	}
	return l, err //nolint:wrapcheck // the toy's own
}

// TestLogprobsStall: a reader that takes nothing of a long prompt's log-probabilities loses its slot.
func TestLogprobsStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, inferencetest.ToyConfig{
			Limits:     runner.Limits{MaxLength: 128},
			BeforeStep: func(runner.Step) error { elapse(time.Second); return nil },
		}, engine.Config{ReaderTimeout: 3 * time.Second})
		r := greedy(3, counting(1, 100)...)
		r.PromptLogprobs.Wanted = true
		out := submit(t, h.Engine, r)
		elapse(20 * time.Second)
		if got := read(t, out); !errors.Is(got.err, engine.ErrSlowReader) || len(got.ids) > 0 {
			t.Errorf("got %+v", got)
		}
		if s := h.Stats(); s.Running != 0 || s.Waiting != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

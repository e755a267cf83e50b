package engine_test

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
)

// TestSessionFails: all its requests end with the failure, Run returns it, and nothing is taken any more.
func TestSessionFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("out of memory")
		toy := slow()
		wait := toy.BeforeStep
		steps := 0
		toy.BeforeStep = func(s runner.Step) error {
			if steps++; steps == 3 {
				return broken
			}
			return wait(s)
		}
		h := start(t, toy, engine.Config{})
		outs := []*engine.Output{submit(t, h.Engine, greedy(9, 1)), submit(t, h.Engine, greedy(9, 2))}
		var failed *engine.FailedError
		for i, out := range outs {
			got := read(t, out)
			if !errors.As(got.err, &failed) || !errors.Is(got.err, broken) || len(got.ids) != 2*(1-i) {
				t.Errorf("request %d: %+v", i, got)
			}
		}
		if err := h.wait(); !errors.Is(err, broken) {
			t.Errorf("Run: %v", err)
		}
		if _, err := h.Submit(t.Context(), greedy(1, 1)); !errors.As(err, &failed) {
			t.Errorf("submit afterwards: %v", err)
		}
		if s := h.Stats(); s.Running != 0 || s.Waiting != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestSessionPanics: the same as a failure.
func TestSessionPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, inferencetest.ToyConfig{BeforeStep: func(runner.Step) error { panic("oh") }}, engine.Config{})
		got := read(t, submit(t, h.Engine, greedy(9, 1)))
		var caught *engine.PanicError
		if !errors.As(got.err, &caught) || caught.Value != "oh" || len(caught.Stack()) == 0 {
			t.Errorf("got %v", got.err)
		}
		if err := h.wait(); !errors.As(err, &caught) {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestStop: when Run's context ends, so does everything.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{})
		running, waiting := submit(t, h.Engine, greedy(9, 1)), submit(t, h.Engine, greedy(9, 2))
		synctest.Wait()
		h.stop()
		for _, out := range []*engine.Output{running, waiting} {
			if got := read(t, out); !errors.Is(got.err, engine.ErrStopped) {
				t.Errorf("got %v", got.err)
			}
		}
		if err := h.wait(); err == nil {
			t.Error("Run returned nil")
		}
		if _, err := h.Submit(t.Context(), greedy(1, 1)); !errors.Is(err, engine.ErrStopped) {
			t.Errorf("submit afterwards: %v", err)
		}
	})
}

// poisoned is a toy whose rows are NaN where a sequence's token is 99.
type poisoned struct{ *inferencetest.Toy }

func (p poisoned) Step(s runner.Step) (runner.Logits, error) {
	logits, err := p.Toy.Step(s)
	for i, r := range s.Decode {
		if r.Token == 99 {
			logits.Decode[i][5] = float32(math.NaN())
		}
	}
	return logits, err
}

// TestOneRequestFails: logits that are NaN and a decoder that panics end their own request only.
func TestOneRequestFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toy := inferencetest.ToyConfig{Script: func(h []uint32) (uint32, bool) { return 99, h[0] == 1 && len(h) == 3 }}
		h := startOn(t, poisoned{inferencetest.NewToy(toy)}, engine.Config{})
		bad, crash, good := greedy(20, 1), greedy(20, 2), greedy(20, 3)
		crash.Decoder = crashing{}
		outs := []*engine.Output{submit(t, h.Engine, bad), submit(t, h.Engine, crash), submit(t, h.Engine, good)}

		var logit *sampling.LogitError
		if got := read(t, outs[0]); !errors.As(got.err, &logit) || logit.Index != 5 || len(got.ids) != 3 {
			t.Errorf("the request with a NaN: %+v", got)
		}
		var caught *engine.PanicError
		if got := read(t, outs[1]); !errors.As(got.err, &caught) {
			t.Errorf("the request whose decoder panics: %+v", got)
		}
		if got := read(t, outs[2]); got.err != nil || len(got.ids) != 20 {
			t.Errorf("the good request: %+v", got)
		}
	})
}

type crashing struct{}

func (crashing) Add(uint32) string { panic("decoder") }
func (crashing) Flush() string     { return "" }

package engine_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

// slow is a toy of one slot whose steps take a second.
func slow() inferencetest.ToyConfig {
	return inferencetest.ToyConfig{
		Limits:     runner.Limits{Slots: 1},
		BeforeStep: func(runner.Step) error { elapse(time.Second); return nil },
	}
}

func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{QueueLimit: 2})
		outs := []*engine.Output{
			submit(t, h.Engine, greedy(3, 1)), submit(t, h.Engine, greedy(3, 2)), submit(t, h.Engine, greedy(3, 3)),
		}
		_, err := h.Submit(t.Context(), greedy(3, 4))
		var full *engine.QueueFullError
		if !errors.As(err, &full) || full.Limit != 2 || full.RetryAfter != time.Second {
			t.Fatalf("the fourth request: %v", err)
		}
		if err := h.Refusal("", 0); !errors.As(err, &full) {
			t.Errorf("Refusal: %v", err)
		}
		synctest.Wait()
		if s := h.Stats(); s.Running != 1 || s.Waiting != 2 || s.Slots != 1 || s.KVUsage() != 1 {
			t.Errorf("stats %+v", s)
		}
		read(t, outs[0]) // its place is free from the end on
		if err := h.Refusal("", 0); err != nil {
			t.Errorf("after an end: %v", err)
		}
		fourth := submit(t, h.Engine, greedy(3, 4))
		_, err = h.Submit(t.Context(), greedy(3, 5))
		if !errors.As(err, &full) || full.RetryAfter != 3*time.Second {
			t.Errorf("with one slot that is held for 3 s: %v, retry after %s", err, full.RetryAfter)
		}
		for _, out := range append(outs[1:], fourth) {
			if got := read(t, out); len(got.ids) != 3 {
				t.Errorf("a request that was admitted: %+v", got)
			}
		}
	})
}

// TestQueueTime: what would wait for longer than it may is refused, by the measured speed, of each tenant for itself, and
// what waits is never refused.
func TestQueueTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{QueueTime: 6500 * time.Millisecond})
		request := func(tenant string) engine.Request {
			r := greedy(3, 1)
			r.Tenant = tenant
			return r
		}
		if got := read(t, submit(t, h.Engine, request("a"))); got.err != nil { // a slot is held for 3 s
			t.Fatal(got.err)
		}
		running := submit(t, h.Engine, request("a"))
		synctest.Wait()
		waiting := []*engine.Output{submit(t, h.Engine, request("a")), submit(t, h.Engine, request("a"))}
		var full *engine.QueueFullError
		for _, err := range []error{
			h.Refusal("a", 0),
			func() error { _, err := h.Submit(t.Context(), request("a")); return err }(),
		} {
			if !errors.As(err, &full) || full.Of != engine.QueuedTime || full.Limit != 6500 || full.RetryAfter != 2500*time.Millisecond {
				t.Errorf("a third that would wait for 9 s: %#v", err)
			}
		}
		if err := h.Refusal("a", 2); err != nil {
			t.Errorf("one of higher priority, which would wait for 3 s: %v", err)
		}
		if err := h.Refusal("b", 0); err != nil {
			t.Errorf("one of another tenant, which takes turns: %v", err)
		}
		h.SetQueue(engine.Queue{Requests: 2})
		if err := h.Refusal("b", 0); !errors.As(err, &full) || full.Of != engine.QueuedRequests {
			t.Errorf("with two that may wait: %v", err)
		}
		h.SetQueue(engine.Queue{Requests: 3})
		waiting = append(waiting, submit(t, h.Engine, request("a")))
		h.SetQueue(engine.Queue{Requests: 1, Time: time.Millisecond})
		for _, out := range append(waiting, running) {
			if got := read(t, out); got.err != nil || len(got.ids) != 3 {
				t.Errorf("a request that was admitted: %+v", got)
			}
		}
	})
}

// TestAdmissionIsExact: of many at once exactly as many are admitted as there are places.
func TestAdmissionIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{QueueLimit: 9})
		const callers = 50
		admitted := make(chan *engine.Output, callers)
		for range callers {
			go func() {
				out, err := h.Submit(context.Background(), greedy(1, 1))
				if err != nil {
					out = nil
				}
				admitted <- out
			}()
		}
		var outs []*engine.Output
		for range callers {
			if out := <-admitted; out != nil {
				outs = append(outs, out)
			}
		}
		if len(outs) != 10 {
			t.Errorf("%d were admitted, want 10", len(outs))
		}
		for _, out := range outs {
			out.Close()
		}
	})
}

func TestInvalidRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{})
		for name, change := range map[string]func(*engine.Request){
			"no prompt":       func(r *engine.Request) { r.Prompt = nil },
			"long prompt":     func(r *engine.Request) { r.Prompt = counting(0, 64) },
			"large token":     func(r *engine.Request) { r.Prompt = []uint32{1, 256} },
			"largest token":   func(r *engine.Request) { r.Prompt = []uint32{math.MaxUint32} },
			"no tokens":       func(r *engine.Request) { r.MaxTokens = 0 },
			"NaN temperature": func(r *engine.Request) { r.Sampling.Temperature = float32(math.NaN()) },
			"zero top_p":      func(r *engine.Request) { r.Sampling.TopP = 0 },
			"empty stop":      func(r *engine.Request) { r.Stop.Strings = []string{"a", ""} },
			"broken stop":     func(r *engine.Request) { r.Stop.Strings = []string{"\xff"} },
		} {
			r := greedy(1, 1)
			change(&r)
			if _, err := h.Submit(t.Context(), r); !errors.Is(err, engine.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if s := h.Stats(); s.Waiting != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{})
		running, waiting := submit(t, h.Engine, greedy(3, 1)), submit(t, h.Engine, greedy(2, 2))
		synctest.Wait()
		h.Drain()
		h.Drain()
		if _, err := h.Submit(t.Context(), greedy(1, 1)); !errors.Is(err, engine.ErrDraining) {
			t.Errorf("submit while draining: %v", err)
		}
		if got := read(t, running); len(got.ids) != 3 || got.err != nil {
			t.Errorf("the running request: %+v", got)
		}
		if got := read(t, waiting); len(got.ids) != 2 || got.err != nil {
			t.Errorf("the waiting request: %+v", got)
		}
		if err := h.wait(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if _, err := h.Submit(t.Context(), greedy(1, 1)); !errors.Is(err, engine.ErrDraining) {
			t.Errorf("submit after the drain: %v", err)
		}
	})
}

func TestDrainIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{})
		synctest.Wait()
		h.Drain()
		if err := h.wait(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestSubmitBeforeRun: requests wait for the loop.
func TestSubmitBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := engine.New(inferencetest.NewToy(inferencetest.ToyConfig{}), engine.Config{})
		if err != nil {
			t.Fatal(err)
		}
		out := submit(t, e, greedy(2, 1))
		e.Drain()
		if err := e.Run(t.Context()); err != nil {
			t.Errorf("Run: %v", err)
		}
		if got := read(t, out); len(got.ids) != 2 {
			t.Errorf("got %+v", got)
		}
		if err := e.Run(t.Context()); err == nil {
			t.Error("Run may be called twice")
		}
	})
}

func TestNewRefusesBadConfigs(t *testing.T) {
	toy := inferencetest.NewToy(inferencetest.ToyConfig{})
	for _, cfg := range []engine.Config{{QueueLimit: -1}, {ChunkSize: 9}, {ChunkSize: -1}, {ReaderTimeout: -1}, {QueueTime: -1}} {
		if _, err := engine.New(toy, cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

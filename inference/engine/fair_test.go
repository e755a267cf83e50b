package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

// TestQueueTokens: the prompts that wait are bounded by their tokens too, but one of any length may wait alone.
func TestQueueTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{QueueTokens: 20})
		outs := []*engine.Output{submit(t, h.Engine, greedy(9, counting(1, 30)...)), submit(t, h.Engine, greedy(1, counting(2, 30)...))}
		var full *engine.QueueFullError
		if _, err := h.Submit(t.Context(), greedy(1, 1)); !errors.As(err, &full) || full.Limit != 20 || full.Of != engine.QueuedTokens {
			t.Errorf("behind a prompt of 30: %v", err)
		}
		outs[1].Close()
		outs[1] = submit(t, h.Engine, greedy(1, counting(3, 12)...))
		outs = append(outs, submit(t, h.Engine, greedy(1, counting(4, 8)...)))
		if _, err := h.Submit(t.Context(), greedy(1, 1)); !errors.As(err, &full) {
			t.Errorf("behind 20 tokens: %v", err)
		}
		for i, out := range outs {
			if got := read(t, out); got.err != nil {
				t.Errorf("request %d: %v", i, got.err)
			}
		}
	})
}

// order submits requests while the only slot is taken, and says in which order they were served.
func order(t *testing.T, requests ...engine.Request) (served []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{})
		first := submit(t, h.Engine, greedy(30, 1))
		synctest.Wait()
		done := make(chan string, len(requests))
		for _, r := range requests {
			out := submit(t, h.Engine, r)
			go func() {
				read(t, out)
				done <- r.ID
			}()
			elapse(100 * time.Millisecond)
		}
		first.Close()
		for range requests {
			served = append(served, <-done)
		}
	})
	return served
}

// asked is a request for one token.
func asked(id, tenant string, priority int) engine.Request {
	r := greedy(1, 9)
	r.ID, r.Tenant, r.Priority = id, tenant, priority
	return r
}

// TestTenantsTakeTurns: a tenant that floods the queue waits for itself and not for others to wait for it.
func TestTenantsTakeTurns(t *testing.T) {
	got := order(t, asked("a1", "a", 100), asked("a2", "a", 100), asked("a3", "a", 100), asked("b1", "b", 0), asked("b2", "b", -100))
	if diff := cmp.Diff([]string{"a1", "b1", "a2", "b2", "a3"}, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

// TestPriority: of one tenant's requests those of higher priority go first, and those of one priority in order.
func TestPriority(t *testing.T) {
	got := order(t, asked("low", "", -1), asked("first", "", 0), asked("second", "", 0), asked("high", "", 1))
	if diff := cmp.Diff([]string{"high", "first", "second", "low"}, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	r := asked("r", "", engine.MaxPriority+1)
	synctest.Test(t, func(t *testing.T) {
		if _, err := start(t, slow(), engine.Config{}).Submit(t.Context(), r); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("a priority of %d: %v", r.Priority, err)
		}
	})
}

// TestPriorityStarvesNobody: while more requests of high priority come than can be served, one of low priority is served
// once it has waited for as long as its priority is worth.
func TestPriorityStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{QueueLimit: 1000})
		low := submit(t, h.Engine, asked("low", "", -2))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for ctx.Err() == nil {
				_, _ = h.Submit(ctx, asked("high", "", 0))
				elapse(500 * time.Millisecond) // two in the time of one
			}
		}()
		if got := read(t, low); got.err != nil || got.summary.Timings.Queue > 2*2*engine.PriorityStep+2*time.Second {
			t.Errorf("got %+v", got)
		}
	})
}

// TestTooLate: a request whose deadline can't be met by the measured speed is refused at once, and one that may be met is
// not.
func TestTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toy := inferencetest.ToyConfig{
			Limits:     runner.Limits{Slots: 2, MaxLength: 200, MaxChunk: 20},
			BeforeStep: func(runner.Step) error { elapse(time.Second); return nil },
		}
		h := start(t, toy, engine.Config{})
		within := func(d time.Duration, r engine.Request) error {
			ctx, cancel := context.WithTimeout(context.Background(), d)
			defer cancel()
			out, err := h.Submit(ctx, r)
			if err == nil {
				out.Close()
				elapse(2 * time.Second)
			}
			return err
		}
		eternal := greedy(100, counting(1, 20)...)
		if err := within(2*time.Second, eternal); err != nil {
			t.Errorf("before anything was measured: %v", err)
		}
		read(t, submit(t, h.Engine, greedy(5, counting(1, 20)...))) // a step for the prompt, four for the rest
		ends := greedy(100, counting(1, 20)...)
		ends.EOS = []uint32{0}
		least := ends
		least.Sampling.MinTokens = 30
		for _, c := range []struct {
			name   string
			within time.Duration
			r      engine.Request
			need   time.Duration // 0: admitted
		}{
			{"100 tokens", 99 * time.Second, eternal, 100 * time.Second},
			{"100 tokens, just in time", 101 * time.Second, eternal, 0},
			{"it may end at once", 2 * time.Second, ends, 0},
			{"30 tokens at least", 29 * time.Second, least, 30 * time.Second},
			{"a prompt of 100", 4 * time.Second, greedy(1, counting(1, 100)...), 5 * time.Second},
		} {
			var late *engine.TooLateError
			switch err := within(c.within, c.r); {
			case c.need == 0 && err != nil:
				t.Errorf("%s: %v", c.name, err)
			case c.need != 0 && (!errors.As(err, &late) || late.Need != c.need || late.Left != c.within):
				t.Errorf("%s: got %v, want a need of %s", c.name, err, c.need)
			}
		}

		// Both slots are taken; each has been held for about 5 s before.
		running := []*engine.Output{submit(t, h.Engine, eternal), submit(t, h.Engine, eternal)}
		elapse(5 * time.Second)
		var late *engine.TooLateError
		if err := within(time.Second, asked("r", "", 0)); !errors.As(err, &late) || late.Need < time.Second || late.Need > 5*time.Second {
			t.Errorf("in the queue: %v", err)
		}
		if err := within(10*time.Second, asked("r", "", 0)); err != nil {
			t.Errorf("in the queue, with time: %v", err)
		}
		var crowd []*engine.Output
		for i := range 20 {
			r := asked(fmt.Sprint(i), "crowd", 0)
			crowd = append(crowd, submit(t, h.Engine, r))
		}
		if err := within(10*time.Second, asked("r", "crowd", 0)); !errors.As(err, &late) {
			t.Errorf("behind 20 of its tenant: %v", err)
		}
		if err := within(10*time.Second, asked("r", "other", 0)); err != nil {
			t.Errorf("behind 20 of another tenant: %v", err)
		}
		for _, out := range slices.Concat(crowd, running) {
			out.Close()
		}
	})
}

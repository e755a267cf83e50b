package engine_test

import (
	"context"
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

// TestCancelRunning: the slot of a request that is cancelled during a step belongs to the next one in the step that
// follows.
func TestCancelRunning(t *testing.T) {
	for name, abort := range map[string]func(context.CancelFunc, *engine.Output){
		"by its context": func(cancel context.CancelFunc, _ *engine.Output) { cancel() },
		"by Close":       func(_ context.CancelFunc, out *engine.Output) { out.Close(); out.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var steps []string
				toy := slow()
				toy.BeforeStep = func(s runner.Step) error {
					steps = append(steps, fmt.Sprintf("%d rows, chunk %t", len(s.Decode), len(s.Chunks) > 0))
					elapse(time.Second)
					return nil
				}
				h := start(t, toy, engine.Config{})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				first := submitCtx(ctx, t, h.Engine, greedy(30, 1))
				second := submit(t, h.Engine, greedy(2, 2))
				elapse(2500 * time.Millisecond) // in the middle of the third step
				abort(cancel, first)
				got := read(t, first)
				if !errors.Is(got.err, context.Canceled) && !errors.Is(got.err, engine.ErrClosed) {
					t.Errorf("the cancelled request: %+v", got)
				}
				if got.summary.Usage.CompletionTokens != 3 {
					t.Errorf("the cancelled request's usage: %+v", got.summary.Usage)
				}
				if got := read(t, second); len(got.ids) != 2 || got.err != nil {
					t.Errorf("the next request: %+v", got)
				}
				want := []string{
					"0 rows, chunk true", "1 rows, chunk false", "1 rows, chunk false", // first
					"0 rows, chunk true", "1 rows, chunk false", // second
				}
				if diff := cmp.Diff(want, steps); diff != "" {
					t.Errorf("steps: want (-), got (+):\n%s", diff)
				}
			})
		})
	}
}

// TestCancelWithinAStep: of many requests that are cancelled at any moment of their lives, by their contexts or their
// readers, among others that go on, each has let go of its slot when the step ends that runs at that moment.
func TestCancelWithinAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, requests = 4, 400
		random := rand.New(rand.NewPCG(1, 7))
		steps := 0
		h := start(t, inferencetest.ToyConfig{
			Limits: runner.Limits{Slots: slots},
			BeforeStep: func(runner.Step) error {
				steps++
				elapse(time.Second)
				return nil
			},
		}, engine.Config{ChunkSize: 2, QueueLimit: requests})
		var mu sync.Mutex
		var worst time.Duration // a step takes a second
		var all sync.WaitGroup
		for i := range requests {
			byReader, life := random.IntN(2) == 0, time.Duration(random.Int64N(int64(30*time.Second)))
			all.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				out := submitCtx(ctx, t, h.Engine, greedy(50, counting(i, 1+i%12)...))
				elapse(life.Truncate(time.Second) + time.Second/4 + time.Duration(i)) // not at the end of a step
				left := time.Now()
				if byReader {
					out.Close()
				} else {
					cancel()
				}
				if got := read(t, out); got.err == nil {
					t.Errorf("request %d was not cancelled: %+v", i, got)
				}
				mu.Lock()
				defer mu.Unlock()
				worst = max(worst, time.Since(left))
			})
			elapse(time.Duration(random.Int64N(int64(9*time.Second))) / slots)
		}
		all.Wait()
		synctest.Wait()
		if worst >= time.Second {
			t.Errorf("a request held its slot for %s, and a step takes a second", worst)
		}
		if worst == 0 || steps < requests {
			t.Errorf("of %d steps none was under way when a request was cancelled", steps)
		}
		if s := h.Stats(); s.Running != 0 || s.Waiting != 0 || s.KVTokens != 0 {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

// TestCancelDuringPrefill: a prompt of many chunks is left after the chunk that runs.
func TestCancelDuringPrefill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{ChunkSize: 1})
		ctx, cancel := context.WithCancel(t.Context())
		out := submitCtx(ctx, t, h.Engine, greedy(1, counting(1, 40)...))
		elapse(3500 * time.Millisecond)
		cancel()
		began := time.Now()
		if got := read(t, out); !errors.Is(got.err, context.Canceled) || got.summary.Timings.Queue != 0 {
			t.Errorf("got %+v", got)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %s", took)
		}
		elapse(time.Minute) // a free slot keeps its memory for a while
		synctest.Wait()
		if h.toy.Steps() != 4 || h.toy.Held(0) != 0 {
			t.Errorf("%d steps, slot 0 holds %d", h.toy.Steps(), h.toy.Held(0))
		}
	})
}

// TestCancelWaiting: a waiting request ends at once, though a long step runs, and its place in the queue is free.
func TestCancelWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{QueueLimit: 1})
		running := submit(t, h.Engine, greedy(2, 1))
		ctx, cancel := context.WithCancelCause(t.Context())
		waiting := submitCtx(ctx, t, h.Engine, greedy(2, 2))
		elapse(300 * time.Millisecond)
		cause := errors.New("went away")
		cancel(cause)
		began := time.Now()
		got := read(t, waiting)
		if got.err != cause { //nolint:errorlint // exactly the cause
			t.Errorf("got %v", got.err)
		}
		if !time.Now().Equal(began) || got.summary.Timings.Queue != 300*time.Millisecond {
			t.Errorf("it took %s; %+v", time.Since(began), got.summary)
		}
		next := submit(t, h.Engine, greedy(1, 3))
		if got := read(t, running); len(got.ids) != 2 {
			t.Errorf("the running request: %+v", got)
		}
		if got := read(t, next); len(got.ids) != 1 {
			t.Errorf("the next request: %+v", got)
		}
		if h.toy.Steps() != 3 {
			t.Errorf("%d steps, want 3: none for the cancelled request", h.toy.Steps())
		}
	})
}

// TestExpire: a deadline that passes in the queue ends the request there and then.
func TestExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{})
		running := submit(t, h.Engine, greedy(4, 1))
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		waiting := submitCtx(ctx, t, h.Engine, greedy(1, 2))
		got := read(t, waiting)
		var expired *engine.ExpiredError
		if waiting.Started() || !running.Started() {
			t.Errorf("started: the waiting request %t, the running one %t", waiting.Started(), running.Started())
		}
		if !errors.As(got.err, &expired) || expired.Waited != 1500*time.Millisecond {
			t.Errorf("got %v", got.err)
		}
		read(t, running)
		synctest.Wait()
		if h.toy.Steps() != 4 {
			t.Errorf("%d steps, want 4: none for the expired request", h.toy.Steps())
		}
	})
}

// TestDeadlineWhileRunning: it is a deadline like any other, not an expiry.
func TestDeadlineWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		got := read(t, submitCtx(ctx, t, h.Engine, greedy(9, 1)))
		if !errors.Is(got.err, context.DeadlineExceeded) || len(got.ids) != 3 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestSubmitWithEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Submit(ctx, greedy(1, 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestSlowReader: a reader that takes nothing loses its slot; one that is only slow does not.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toy := slow()
		toy.Limits.Slots = 2
		h := start(t, toy, engine.Config{ReaderTimeout: 5 * time.Second})
		idle := submit(t, h.Engine, greedy(40, 1))
		steady := submit(t, h.Engine, greedy(20, 2))
		tokens := 0
		for {
			u, err := steady.Next(t.Context())
			if err != nil {
				break
			}
			tokens += len(u.TokenIDs)
			elapse(4 * time.Second)
		}
		if tokens != 20 {
			t.Errorf("the slow reader got %d tokens of 20", tokens)
		}
		got := read(t, idle)
		if !errors.Is(got.err, engine.ErrSlowReader) || len(got.ids) != 7 {
			t.Errorf("the idle reader: %d tokens, %v", len(got.ids), got.err)
		}
		synctest.Wait()
		if s := h.Stats(); s.Running != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestReaderAfterTheEnd: what is finished is kept, however late its reader comes.
func TestReaderAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, slow(), engine.Config{ReaderTimeout: 10 * time.Second})
		out := submit(t, h.Engine, greedy(5, 1))
		elapse(time.Hour)
		out.Close() // too late to lose anything
		if got := read(t, out); len(got.ids) != 5 || got.err != nil {
			t.Errorf("got %+v", got)
		}
	})
}

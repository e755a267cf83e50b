package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
)

// group submits a request for n outputs.
func group(ctx context.Context, t *testing.T, e *engine.Engine, r engine.Request, n int) *engine.Group {
	t.Helper()
	decoders := make([]engine.Decoder, n)
	for i := range decoders {
		decoders[i] = &byteDecoder{}
	}
	g, err := e.SubmitGroup(ctx, r, decoders)
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	return g
}

// readGroup takes all outputs to their ends.
func readGroup(t *testing.T, g *engine.Group, n int) (results []result, err error) {
	t.Helper()
	results = make([]result, n)
	for {
		i, u, err := g.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return results, nil
		}
		if err != nil {
			return results, err
		}
		r := &results[i]
		if r.finish != nil {
			t.Errorf("an update of output %d after its finish", i)
		}
		if len(u.Prompt) > 0 && (i != 0 || results[0].ids != nil || results[n-1].ids != nil) {
			t.Errorf("log-probabilities of the prompt come late, or with output %d", i)
		}
		r.updates++
		r.text += u.Text
		r.ids, r.scores, r.finish = append(r.ids, u.TokenIDs...), append(r.scores, u.Logprobs...), u.Finish
		r.prompt = append(r.prompt, u.Prompt...)
	}
}

// sampled is a request that draws.
func sampled(seed uint64, n int, prompt ...uint32) engine.Request {
	r := greedy(n, prompt...)
	r.Sampling = sampling.Params{Temperature: 1.5, TopP: 0.95, RepetitionPenalty: 1.2, Seed: seed}
	r.EOS = []uint32{0, 1, 2, 3, 4, 5}
	return r
}

// TestGroupEqualsAlone: output i gives what a request of its own with seed + i gives, with slots for all, for some, and
// for one, beside others, whatever the chunks.
func TestGroupEqualsAlone(t *testing.T) {
	const n = 7
	for _, limits := range []runner.Limits{
		{Slots: 12, MaxLength: 128, MaxChunk: 64},
		{Slots: 12, MaxLength: 128, MaxChunk: 3},
		{Slots: 3, MaxLength: 128, MaxChunk: 16},
		{Slots: 1, MaxLength: 128, MaxChunk: 16},
		{Slots: 4, MaxLength: 128, MaxChunk: 16, Blocks: 20, BlockBytes: 64},
		{Slots: 12, MaxLength: 128, MaxChunk: 64, Uniform: true},
		{Slots: 4, MaxLength: 128, MaxChunk: 16, Blocks: 20, Uniform: true, MaxDraft: 4},
		{Slots: 3, MaxLength: 128, MaxChunk: 16, MaxDraft: 4}, // the last outputs, and those alone, guess
	} {
		t.Run(fmt.Sprintf("%+v", limits), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := start(t, inferencetest.ToyConfig{
					Limits:     limits,
					BeforeStep: func(runner.Step) error { elapse(time.Millisecond); return nil },
				}, engine.Config{})
				request := func(i uint64) engine.Request {
					r := sampled(41+i, 60, counting(3, 37)...)
					r.Logprobs = engine.Logprobs{Wanted: true, Top: 1}
					return r
				}
				beside := submit(t, h.Engine, greedy(30, counting(9, 20)...))
				r := request(0)
				r.PromptLogprobs.Wanted = true
				g := group(context.Background(), t, h.Engine, r, n)
				after := submit(t, h.Engine, greedy(10, counting(2, 5)...))
				got, err := readGroup(t, g, n)
				if err != nil {
					t.Fatal(err)
				}
				total := 0
				for i := range got {
					alone := read(t, submit(t, h.Engine, request(uint64(i))))
					if diff := cmp.Diff(alone.ids, got[i].ids); diff != "" || alone.text != got[i].text {
						t.Errorf("output %d: alone (-), in company (+):\n%s", i, diff)
					}
					if diff := cmp.Diff(alone.scores, got[i].scores); diff != "" {
						t.Errorf("output %d: log-probabilities alone (-), in company (+):\n%s", i, diff)
					}
					if diff := cmp.Diff(alone.finish, got[i].finish); diff != "" {
						t.Errorf("output %d: finish alone (-), in company (+):\n%s", i, diff)
					}
					total += len(got[i].ids)
				}
				if len(got[0].prompt) != 37 {
					t.Errorf("log-probabilities of %d tokens of the prompt", len(got[0].prompt))
				}
				if u := g.Summary().Usage; u.PromptTokens != 37 || u.CompletionTokens != total {
					t.Errorf("usage %+v, want a prompt of 37 and %d tokens", u, total)
				}
				read(t, beside)
				read(t, after)
				synctest.Wait()
				if s := h.Stats(); s.Running != 0 || s.Waiting != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

// TestGroupRunsThePromptOnce: where there are slots, the steps are those of one request.
func TestGroupRunsThePromptOnce(t *testing.T) {
	for slots, want := range map[int]int{8: 20, 3: 2 * 20, 1: 5 * 20} { // five outputs at once, three and two, one by one
		synctest.Test(t, func(t *testing.T) {
			prompted, ran := 0, 0
			h := start(t, inferencetest.ToyConfig{
				Limits: runner.Limits{Slots: slots, MaxChunk: 7},
				BeforeStep: func(st runner.Step) error {
					ran++
					prompted += st.Prompted()
					elapse(time.Millisecond)
					return nil
				},
			}, engine.Config{})
			r := sampled(1, 6, counting(1, 20)...)
			r.EOS = nil
			got, err := readGroup(t, group(context.Background(), t, h.Engine, r, 5), 5)
			if err != nil || prompted != want {
				t.Errorf("%d slots: %d prompt tokens, want %d; %v", slots, prompted, want, err)
			}
			if slots == 8 && ran != 3+5 {
				t.Errorf("%d steps, want three for the prompt and five for the tokens after the first", ran)
			}
			for i := range got {
				if len(got[i].ids) != 6 {
					t.Errorf("output %d has %d tokens", i, len(got[i].ids))
				}
			}
		})
	}
}

// TestGroupOfABrokenPrompt: NaN in the logits of a prompt's last chunk, which others wait for.
func TestGroupOfABrokenPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := &brokenRows{Toy: inferencetest.NewToy(inferencetest.ToyConfig{Limits: runner.Limits{MaxLength: 128}})}
		h := startOn(t, session, engine.Config{})
		r := sampled(1, 3, counting(1, 14)...)
		r.PromptLogprobs.Wanted = true
		g := group(context.Background(), t, h.Engine, r, 4)
		var failed *engine.FailedError
		if _, err := readGroup(t, g, 4); !errors.As(err, &failed) {
			t.Errorf("got %v", err)
		}
		g.Close()
		if got := read(t, submit(t, h.Engine, greedy(3, 1))); got.err != nil || len(got.ids) != 3 {
			t.Errorf("the next request: %+v", got)
		}
		synctest.Wait()
		if s := h.Stats(); s.Running != 0 || s.Waiting != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestGroupTakesTurns: a reader of many outputs sees all of them advance.
func TestGroupTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, inferencetest.ToyConfig{
			Limits:     runner.Limits{Slots: 4, MaxLength: 128},
			BeforeStep: func(runner.Step) error { elapse(time.Second); return nil },
		}, engine.Config{ReaderTimeout: 10 * time.Second})
		r := sampled(1, 40, 7)
		r.EOS = nil
		g := group(context.Background(), t, h.Engine, r, 4)
		seen := make([]int, 4)
		for {
			elapse(300 * time.Millisecond) // four takes for each step and its four tokens: just enough
			i, u, err := g.Next(context.Background())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			seen[i] += len(u.TokenIDs)
			for k, n := range seen {
				if n < seen[i]-8 && seen[i] < 40 {
					t.Fatalf("output %d has been seen to token %d, output %d to %d", i, seen[i], k, n)
				}
			}
		}
		if diff := cmp.Diff([]int{40, 40, 40, 40}, seen); diff != "" {
			t.Error(diff)
		}
	})
}

// TestGroupEndsTogether: Close, the context, and an idle reader end all outputs; a deadline that passes in the queue is
// that.
func TestGroupEndsTogether(t *testing.T) {
	long := sampled(1, 1000, 7)
	long.EOS = nil
	for name, test := range map[string]struct {
		end  func(cancel func(), g *engine.Group)
		want error
	}{
		"close":   {func(_ func(), g *engine.Group) { g.Close() }, engine.ErrClosed},
		"context": {func(cancel func(), _ *engine.Group) { cancel() }, context.Canceled},
		"reader":  {func(_ func(), g *engine.Group) { <-g.Stalled() }, engine.ErrSlowReader},
	} {
		for _, slots := range []int{2, 8} { // some outputs wait, or none
			t.Run(fmt.Sprintf("%s, %d slots", name, slots), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := start(t, inferencetest.ToyConfig{
						Limits:     runner.Limits{Slots: slots, MaxLength: 1 << 12},
						BeforeStep: func(runner.Step) error { elapse(time.Second); return nil },
					}, engine.Config{})
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					g := group(ctx, t, h.Engine, long, 5)
					elapse(7 * time.Second)
					test.end(cancel, g)
					if _, err := readGroup(t, g, 5); !errors.Is(err, test.want) {
						t.Errorf("got %v, want %v", err, test.want)
					}
					g.Close() // as a reader does after an error
					elapse(3 * time.Second)
					if s := h.Stats(); s.Running != 0 || s.Waiting != 0 {
						t.Errorf("stats %+v", s)
					}
				})
			})
		}
	}
	synctest.Test(t, func(t *testing.T) {
		h := start(t, inferencetest.ToyConfig{
			Limits:     runner.Limits{Slots: 1, MaxLength: 1 << 12},
			BeforeStep: func(runner.Step) error { elapse(time.Second); return nil },
		}, engine.Config{})
		before := submit(t, h.Engine, long)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		g := group(ctx, t, h.Engine, long, 3)
		var expired *engine.ExpiredError
		if _, err := readGroup(t, g, 3); !errors.As(err, &expired) || g.Started() {
			t.Errorf("got %v", err)
		}
		before.Close()
	})
}

// TestGroupAdmission: a request takes one place in the queue, however many outputs it has.
func TestGroupAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, inferencetest.ToyConfig{
			Limits:     runner.Limits{Slots: 2},
			BeforeStep: func(runner.Step) error { elapse(time.Second); return nil },
		}, engine.Config{QueueLimit: 2})
		first := submit(t, h.Engine, greedy(30, 1))
		elapse(1500 * time.Millisecond)
		r := sampled(1, 30, 7)
		running := group(context.Background(), t, h.Engine, r, 4) // one slot is free: it need not wait
		waiting := []*engine.Group{group(context.Background(), t, h.Engine, r, 5), group(context.Background(), t, h.Engine, r, 3)}
		var full *engine.QueueFullError
		if _, err := h.Submit(context.Background(), greedy(1, 1)); !errors.As(err, &full) || full.Limit != 2 || full.Of != engine.QueuedRequests {
			t.Errorf("got %v", err)
		}
		waiting[0].Close()
		group(context.Background(), t, h.Engine, r, 2).Close()
		waiting[1].Close()
		running.Close()
		elapse(2 * time.Second)
		if s := h.Stats(); s.Running != 1 || s.Waiting != 0 {
			t.Errorf("stats %+v", s)
		}
		first.Close()
		bad := r
		bad.MaxTokens = 0
		if _, err := h.SubmitGroup(context.Background(), bad, make([]engine.Decoder, 2)); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
}

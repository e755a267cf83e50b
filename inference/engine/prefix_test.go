package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

// sharingRequest is a request whose prompt begins like others', the same for the same number.
func sharingRequest(i int) engine.Request {
	rng := rand.New(rand.NewPCG(uint64(i), 2))
	prompt := counting(rng.IntN(2), 16*rng.IntN(7)+rng.IntN(3))
	prompt = append(prompt, counting(rng.IntN(3), 1+rng.IntN(40))...)
	r := greedy(1+rng.IntN(20), prompt...)
	r.ID = fmt.Sprint(i)
	r.Cache = engine.Cache{Bypass: rng.IntN(6) == 0, Salt: []string{"", "", "salt"}[rng.IntN(3)]}
	return r
}

// TestPrefixesDoNotShow: requests that share prefixes give the same tokens with stores of every size and without one,
// while others are cancelled, and the stores are of use.
func TestPrefixesDoNotShow(t *testing.T) {
	const requests = 60
	var want [requests]result
	synctest.Test(t, func(t *testing.T) {
		h := start(t, inferencetest.ToyConfig{Limits: runner.Limits{Slots: 1, MaxLength: 200, MaxChunk: 200}}, engine.Config{})
		for i := range want {
			want[i] = read(t, submit(t, h.Engine, sharingRequest(i)))
			if want[i].summary.Usage.CachedTokens != 0 {
				t.Errorf("request %d has cached tokens without a store", i)
			}
		}
	})
	for _, limits := range []runner.Limits{
		{Slots: 4, MaxLength: 200, MaxChunk: 32, Blocks: 200},
		{Slots: 8, MaxLength: 200, MaxChunk: 7, Blocks: 20},
		{Slots: 2, MaxLength: 200, MaxChunk: 200, Blocks: 3},
		{Slots: 32, MaxLength: 200, MaxChunk: 1, Blocks: 50},
		{Slots: 4, MaxLength: 200, MaxChunk: 32, Blocks: 200, Uniform: true},
		{Slots: 8, MaxLength: 200, MaxChunk: 7, Blocks: 20, Uniform: true, MaxDraft: 3},
		{Slots: 32, MaxLength: 200, MaxChunk: 64, Blocks: 9, Uniform: true},
	} {
		t.Run(fmt.Sprintf("%d slots, chunks of %d, %d blocks, uniform %t", limits.Slots, limits.MaxChunk, limits.Blocks, limits.Uniform), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(4, 4))
				h := start(t, inferencetest.ToyConfig{
					Limits:     limits,
					BeforeStep: func(runner.Step) error { elapse(time.Millisecond); return nil },
				}, engine.Config{})
				var wg sync.WaitGroup
				for i := range requests {
					delay := time.Duration(rng.IntN(400)) * time.Millisecond
					cancelled := rng.IntN(4) == 0
					wg.Go(func() {
						elapse(delay)
						if cancelled { // the same prompt, given up halfway
							ctx, cancel := context.WithCancel(context.Background()) // a deadline would be refused
							time.AfterFunc(5*time.Millisecond, cancel)
							read(t, submitCtx(ctx, t, h.Engine, sharingRequest(i)))
						}
						got := read(t, submit(t, h.Engine, sharingRequest(i)))
						if diff := cmp.Diff(want[i].ids, got.ids); diff != "" || got.err != nil {
							t.Errorf("request %d: %v, tokens without a store (-) and with it (+):\n%s", i, got.err, diff)
						}
						cached := got.summary.Usage.CachedTokens
						if n := got.summary.Usage.PromptTokens; cached >= n || cached > 0 && sharingRequest(i).Cache.Bypass {
							t.Errorf("request %d: %d of %d tokens cached", i, cached, n)
						}
					})
				}
				wg.Wait()
				synctest.Wait()
				s := h.Stats()
				if s.CachedTokens == 0 || s.CachedTokens > s.QueriedTokens || s.PrefixBytes > limits.Blocks*h.Limits().BlockBytes {
					t.Errorf("the store was of no use: %+v", s)
				}
				if limits.Blocks <= 20 && s.Evictions == 0 {
					t.Errorf("nothing was evicted from %d blocks", limits.Blocks)
				}
			})
		})
	}
}

// TestCachedTokens: what is reported, by whom a prefix is found, and the span that tells of it.
func TestCachedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
		h := start(t, inferencetest.ToyConfig{Limits: runner.Limits{MaxLength: 100, MaxChunk: 16, Blocks: 20}},
			engine.Config{TracerProvider: provider})
		prompt := counting(1, 50)
		for _, test := range []struct {
			name   string
			cache  engine.Cache
			cached int
		}{
			{"the first", engine.Cache{}, 0},
			{"again", engine.Cache{}, 48},
			{"another salt", engine.Cache{Salt: "s"}, 0},
			{"that salt again", engine.Cache{Salt: "s"}, 48},
			{"past the store", engine.Cache{Bypass: true}, 0},
		} {
			ctx, span := provider.Tracer("test").Start(t.Context(), test.name)
			r := greedy(2, prompt...)
			r.Cache = test.cache
			got := read(t, submitCtx(ctx, t, h.Engine, r))
			span.End()
			if n := got.summary.Usage.CachedTokens; n != test.cached {
				t.Errorf("%s: %d cached tokens, want %d", test.name, n, test.cached)
			}
		}
		if n, m := h.Cached("", prompt), h.Cached("", prompt[:20]); n != 48 || m != 16 {
			t.Errorf("the store is said to hold %d and %d tokens, want 48 and 16", n, m)
		}
		if n := h.Cached("other", prompt); n != 0 {
			t.Errorf("the store is said to hold %d tokens under another salt", n)
		}
		told := 0
		for _, s := range recorder.Ended() {
			for _, kv := range s.Attributes() {
				if kv.Key == "sluice.cached_tokens" && s.Name() == "prefill" && kv.Value.AsInt64() == 48 {
					told++
				}
			}
		}
		if told != 2 {
			t.Errorf("%d prefill spans tell of 48 cached tokens, want 2", told)
		}
		synctest.Wait() // the step's figures are published after its tokens
		want := engine.Stats{
			Slots: 4, PrefixBlocks: h.Limits().Blocks, KVCapacity: 400, PrefilledTokens: 5*50 - 2*48, DecodedTokens: 5 * 2,
			QueriedTokens: 200, CachedTokens: 96, PrefixBytes: 6 * h.Limits().BlockBytes,
		}
		if diff := cmp.Diff(want, h.Stats()); diff != "" {
			t.Errorf("stats: want (-), got (+):\n%s", diff)
		}
	})
}

// brokenStore is a session whose prefix store fails.
type brokenStore struct {
	*inferencetest.Toy
	save, load error
}

func (s *brokenStore) SaveBlocks(slot, past int, blocks []int) error {
	if s.save != nil {
		return s.save
	}
	return s.Toy.SaveBlocks(slot, past, blocks)
}

func (s *brokenStore) LoadBlocks(slot int, blocks []int, length int) error {
	if s.load != nil {
		return s.load
	}
	return s.Toy.LoadBlocks(slot, blocks, length)
}

// TestBrokenStore: a session whose store fails has failed.
func TestBrokenStore(t *testing.T) {
	for _, test := range []struct {
		name string
		s    brokenStore
	}{
		{"save", brokenStore{save: context.DeadlineExceeded}},
		{"load", brokenStore{load: context.DeadlineExceeded}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.s.Toy = inferencetest.NewToy(inferencetest.ToyConfig{Limits: runner.Limits{Blocks: 2}})
				h := startOn(t, &test.s, engine.Config{})
				read(t, submit(t, h.Engine, greedy(1, counting(1, 20)...)))
				if test.s.load != nil {
					read(t, submit(t, h.Engine, greedy(1, counting(1, 20)...)))
				}
				if err := h.wait(); err == nil || !strings.Contains(err.Error(), test.name) {
					t.Errorf("the engine ended with %v", err)
				}
			})
		})
	}
}

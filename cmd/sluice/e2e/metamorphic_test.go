package e2e_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

var metamorphicSeed = flag.Uint64("metamorphic-seed", 0, "seed of TestMetamorphic; 0: another one each time, which it prints")

// TestMetamorphic drives the default model with random requests on servers with random limits: slots, chunks, prompt
// tokens beside decode rows, a prefix cache or none, memory for few sequences or many, speculation or none, one replica or
// two, with one thread or two. All requests come at once, some are given up, and each must get the tokens that it gets
// alone on a server that does one thing at a time.
func TestMetamorphic(t *testing.T) {
	seed := cmp.Or(*metamorphicSeed, rand.Uint64())
	t.Logf("go test ./cmd/sluice/e2e -run Metamorphic -args -metamorphic-seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, c := range []struct {
		name, form string
		kernels    []string
	}{
		{"blocks", "auto", nil},
		{"8-bit rows", "row8", nil},
		{"hybrid graph", "row8", []string{"--no-kernels"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := append([]string{"--model", "m=" + convert(t, c.form)}, c.kernels...)
			requests := randomRequests(rng, 8)
			want := make([][]outcome, len(requests), len(requests)+3)
			plain := serve(t, nil, append(model, "--slots", "3", "--prefix-cache-bytes", "0", "--no-speculation")...)
			for i, r := range requests {
				var err error
				if want[i], err = outcomes(deadline(t), plain, r); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 3 { // the next turns of conversations: what the answers before leave in a cache must not show
				turn := slices.Concat(requests[i].GetTokens().GetIds(), want[i][0].ids, tokens(rng, 1+rng.IntN(20)))
				requests = append(requests, continued(turn, greedy(1+rng.Uint32N(16)), nil))
				next, err := outcomes(deadline(t), plain, requests[len(requests)-1])
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, next)
			}
			plain.stop()
			for replicas := 1; replicas <= 2; replicas++ {
				limits := randomLimits(rng, replicas)
				t.Logf("with %v", limits)
				s := serve(t, nil, append(limits, model...)...)
				checkOutcomes(t, s, rng, requests, want)
				s.stop()
			}
		})
	}
}

// outcome is what became of an output.
type outcome struct {
	ids    []uint32
	text   string
	reason sluicev1.FinishReason
}

func outcomes(ctx context.Context, s *server, r *sluicev1.GenerateRequest) ([]outcome, error) {
	response, err := s.Generate(ctx, r)
	if err != nil {
		return nil, err
	}
	all := make([]outcome, len(response.GetOutputs()))
	for i, o := range response.GetOutputs() {
		all[i] = outcome{ids: o.GetTokenIds(), text: o.GetText(), reason: o.GetFinishReason()}
	}
	return all, nil
}

// checkOutcomes sends all requests at once, in another order, beside some that are given up, twice.
func checkOutcomes(t *testing.T, s *server, rng *rand.Rand, requests []*sluicev1.GenerateRequest, want [][]outcome) {
	t.Helper()
	ctx := deadline(t)
	for range 2 {
		var all sync.WaitGroup
		for _, i := range rng.Perm(len(requests)) {
			if rng.IntN(4) == 0 {
				patience := time.Duration(rng.IntN(400)) * time.Millisecond
				all.Go(func() {
					ctx, cancel := context.WithTimeout(ctx, patience)
					defer cancel()
					_, _ = outcomes(ctx, s, requests[i])
				})
			}
			all.Go(func() {
				got, err := outcomes(ctx, s, requests[i])
				if err != nil {
					t.Errorf("request %d: %v", i, err)
					return
				}
				equal := func(a, b outcome) bool {
					return slices.Equal(a.ids, b.ids) && a.text == b.text && a.reason == b.reason
				}
				if !slices.EqualFunc(got, want[i], equal) {
					t.Errorf("request %d, %v:\ngot   %v\nalone %v", i, requests[i].GetSampling(), got, want[i])
				}
			})
		}
		all.Wait()
	}
	s.idle(ctx)
}

// randomRequests are prompts of text tokens, some with a beginning in common and some that repeat themselves, to be
// continued greedily or by drawing.
func randomRequests(rng *rand.Rand, n int) []*sluicev1.GenerateRequest {
	shared := tokens(rng, 32+rng.IntN(100))
	requests := make([]*sluicev1.GenerateRequest, n)
	for i := range requests {
		prompt := tokens(rng, 1+rng.IntN(60))
		switch rng.IntN(3) {
		case 0:
			prompt = slices.Concat(shared[:len(shared)-rng.IntN(20)], prompt)
		case 1:
			prompt = slices.Concat(prompt, prompt, prompt)
		}
		sampling := greedy(1 + rng.Uint32N(16))
		if rng.IntN(2) == 0 {
			sampling.Temperature, sampling.Seed = new(0.3+rng.Float32()), new(rng.Uint64())
			sampling.TopK, sampling.TopP = new(rng.Uint32N(100)), new(0.5+rng.Float32()/2)
			sampling.RepetitionPenalty = new(1 + rng.Float32()/4)
			sampling.N = new(1 + rng.Uint32N(3)*rng.Uint32N(2))
		}
		requests[i] = continued(prompt, sampling, &sluicev1.CacheOptions{Bypass: rng.IntN(5) == 0})
	}
	return requests
}

// randomLimits are flags of a server with so many replicas.
func randomLimits(rng *rand.Rand, replicas int) []string {
	limits := []string{
		"--slots", strconv.Itoa(3 + rng.IntN(10)),
		"--chunk-tokens", strconv.Itoa(3 + rng.IntN(126)),
		"--max-context", "512",
		"--prefix-cache-bytes", []string{"0", "6MiB", "256MiB"}[rng.IntN(3)],
	}
	switch rng.IntN(4) {
	case 0: // by the measured speed
	case 1:
		limits = append(limits, "--max-step-ms", strconv.Itoa(1+rng.IntN(100)))
	default:
		limits = append(limits, "--riding-tokens", strconv.Itoa(1+rng.IntN(40)))
	}
	if rng.IntN(2) == 0 { // for one to three sequences of the longest: others lose their slots and start over
		limits = append(limits, "--kv-cache-bytes", fmt.Sprintf("%dMiB", 48+rng.IntN(64)))
	}
	if rng.IntN(3) == 0 {
		limits = append(limits, "--no-speculation")
	}
	limits = append(limits, "--device", fmt.Sprintf("cpu:threads=%d", 1+rng.IntN(2)))
	for range replicas - 1 { // more threads than cores would only take turns
		limits = append(limits, "--device", "cpu:threads=1")
	}
	return limits
}

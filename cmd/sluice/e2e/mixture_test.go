package e2e_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// TestMixture puts everything that a request can ask for beside everything else on a server whose memory is too small for it:
// constraints, several outputs, stop strings, log-probabilities of prompts and answers, priorities, beginnings in common,
// embeddings and scores, beside clients that leave at any moment. Each that stays gets the bits that it gets alone, nothing is
// held when all is over, and a server that is told to stop while it is full keeps what it has begun. SEED sets what is asked for.
func TestMixture(t *testing.T) {
	const rounds = 2
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("SEED"), "1"), 10, 64)
	if err != nil {
		t.Fatalf("SEED: %v", err)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	s := serve(t, nil, "--slots", "12", "--max-context", "512", "--kv-cache-bytes", "19MiB", "--prefix-cache-bytes", "6MiB", "--chunk-tokens", "48",
		"--drain-timeout", "5m")
	requests := mixedRequests(rng)
	want := make([]*sluicev1.GenerateResponse, len(requests))
	for i, r := range requests {
		alone := proto.CloneOf(r)
		alone.Cache = &sluicev1.CacheOptions{Bypass: true}
		var err error
		if want[i], err = s.Generate(deadline(t), alone); err != nil {
			t.Fatalf("%v: %v", r, err)
		}
	}
	preempted := value(s.scrape("text/plain"), "sluice_preemptions_total")
	for range rounds {
		var all sync.WaitGroup
		for _, i := range rng.Perm(len(requests)) {
			patience, leaves := time.Duration(rng.IntN(300))*time.Millisecond, rng.IntN(12)
			all.Go(func() { leaveMixed(t.Context(), s, requests[i], patience, leaves) })
			all.Go(func() {
				got, err := s.Generate(deadline(t), requests[i])
				if err != nil {
					t.Errorf("request %d: %v", i, err)
				} else if !sameAnswer(got, want[i]) {
					t.Errorf("request %d, %v:\ngot   %v\nalone %v", i, requests[i], got, want[i])
				}
			})
		}
		all.Go(func() {
			_, err := s.Embed(deadline(t), &sluicev1.EmbedRequest{Inputs: []*sluicev1.EmbedInput{{Input: &sluicev1.EmbedInput_Text{Text: "one"}}, {Input: &sluicev1.EmbedInput_Text{Text: "two"}}}})
			if err != nil {
				t.Errorf("embed: %v", err)
			}
		})
		all.Wait()
	}
	s.idle(deadline(t))
	text := s.scrape("text/plain")
	for _, name := range []string{"sluice_requests_running", "sluice_requests_waiting", "sluice_kv_cache_tokens"} {
		if n := value(text, name); n != 0 {
			t.Errorf("%s is %v when all is over", name, n)
		}
	}
	if value(text, "sluice_preemptions_total") == preempted {
		t.Error("nobody lost a slot: the memory is not too small")
	}
	stopFull(t, s, requests)
}

// mixedRequests are requests of all kinds, with fixed seeds.
func mixedRequests(rng *rand.Rand) []*sluicev1.GenerateRequest {
	shared := tokens(rng, 100)
	constraints := []*sluicev1.Constraint{
		{Kind: &sluicev1.Constraint_JsonSchema{JsonSchema: `{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name","age"]}`}},
		{Kind: &sluicev1.Constraint_Regex{Regex: `(red|green|blue)(, (red|green|blue)){2,8}\.`}},
		{Kind: &sluicev1.Constraint_Grammar{Grammar: `root ::= "(" root ")" root | [a-z0-9]`}},
		{Kind: &sluicev1.Constraint_Choice{Choice: &sluicev1.Choice{Choices: []string{"yes", "no", "yesterday", "perhaps not"}}}},
		{Kind: &sluicev1.Constraint_JsonObject{JsonObject: true}},
		nil, nil, nil,
	}
	var requests []*sluicev1.GenerateRequest
	for i := range 15 {
		ids := tokens(rng, 1+rng.IntN(60))
		if i%2 == 0 {
			ids = slices.Concat(shared[:60+rng.IntN(40)], ids)
		}
		sampling := &sluicev1.Sampling{
			MaxTokens: new(20 + rng.Uint32N(40)), Temperature: new(rng.Float32() * 1.5), Seed: new(rng.Uint64()),
			N: new(1 + rng.Uint32N(4)), TopP: new(0.5 + rng.Float32()/2), RepetitionPenalty: new(1 + rng.Float32()/4),
			LogitBias: map[uint32]float32{rng.Uint32N(40_000): 3},
		}
		if i%5 == 0 {
			sampling.Temperature, sampling.N, sampling.IgnoreEos = new(float32(0)), nil, new(true)
		}
		r := continued(ids, sampling, nil)
		r.Constraint, r.Priority = constraints[i%len(constraints)], rng.Int32N(21)-10
		if i%3 == 0 {
			r.Output.Logprobs, r.Output.PromptLogprobs = new(uint32(3)), new(uint32(2))
		}
		switch {
		case r.GetConstraint() != nil:
		case i%2 == 1: // a few of these outgrow the memory
			sampling.MaxTokens, sampling.N, sampling.IgnoreEos = new(uint32(200)), nil, new(true)
		default:
			r.Stop = &sluicev1.Stop{Strings: []string{" the ", "\n\n", "tion"}}
			sampling.MinTokens, sampling.BadWords = new(uint32(4)), []string{" and", "of"}
		}
		requests = append(requests, r)
	}
	return requests
}

// leaveMixed streams a request and leaves it after so many events, or so much time.
func leaveMixed(ctx context.Context, s *server, r *sluicev1.GenerateRequest, patience time.Duration, events int) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stream, err := s.GenerateStream(ctx, r)
	for ; err == nil && events > 0; events-- {
		_, err = stream.Recv()
	}
}

// sameAnswer says whether two answers have the same bits.
func sameAnswer(a, b *sluicev1.GenerateResponse) bool {
	bare := func(r *sluicev1.GenerateResponse) *sluicev1.GenerateResponse {
		return &sluicev1.GenerateResponse{Outputs: r.GetOutputs(), PromptLogprobs: r.GetPromptLogprobs()}
	}
	return proto.Equal(bare(a), bare(b))
}

// stopFull fills the queue and ends the server: what it has begun comes to its end, and what it has not may be refused.
func stopFull(t *testing.T, s *server, requests []*sluicev1.GenerateRequest) {
	t.Helper()
	ctx := deadline(t)
	var all sync.WaitGroup
	var stopping atomic.Bool
	var begun, kept atomic.Int64 // before the signal, and of these those that ended well
	for range 3 {
		for _, r := range requests {
			all.Go(func() {
				before := false
				err := follow(ctx, s, r, func() {
					if before = !stopping.Load(); before {
						begun.Add(1)
					}
				})
				switch {
				case err == nil && before:
					kept.Add(1)
				case err != nil && (before || status.Code(err) != codes.Unavailable):
					t.Errorf("while the server ends, begun before: %t: %v", before, err)
				}
			})
		}
	}
	for begun.Load() == 0 || value(s.scrape("text/plain"), "sluice_requests_waiting") <= 0 {
		select {
		case <-ctx.Done():
			all.Wait()
			t.Fatalf("the queue does not fill: %d of %d have begun", begun.Load(), 3*len(requests))
		case <-time.After(5 * time.Millisecond):
		}
	}
	stopping.Store(true)
	s.signal(syscall.SIGTERM)
	all.Wait()
	if code := s.wait(); code != 0 {
		t.Errorf("the server ended with %d\n%s", code, s.logged())
	}
	t.Logf("%d of %d had begun, and %d of them have their answers", begun.Load(), 3*len(requests), kept.Load())
	if kept.Load() == 0 || kept.Load() != begun.Load() {
		t.Errorf("%d had begun, and %d have their answers", begun.Load(), kept.Load())
	}
}

// follow streams a request to its end, and says when it has begun. It fails unless the answer comes to its summary.
func follow(ctx context.Context, s *server, r *sluicev1.GenerateRequest, begun func()) error {
	stream, err := s.GenerateStream(ctx, r)
	if err != nil {
		return err
	}
	complete := false
	for {
		message, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && complete:
			return nil
		case err != nil:
			return err
		case message.GetStarted() != nil:
			begun()
		case message.GetSummary() != nil:
			complete = true
		}
	}
}

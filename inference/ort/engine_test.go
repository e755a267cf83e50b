package ort

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/sampling"
)

// TestRealConcurrentEqualsAlone runs 32 requests of mixed lengths and parameters through an engine on the default
// model: first one after the other, then all at once, on 7 slots so that they join, wait and leave. Each must give the
// same tokens both times.
func TestRealConcurrentEqualsAlone(t *testing.T) {
	const requests = 32
	config := realConfig(t)
	config.Slots, config.MaxLength, config.MaxChunk = 7, 512, 48
	session := openSession(t, openEnvironment(t), config)
	e, err := engine.New(session, engine.Config{Model: "real"})
	if err != nil {
		t.Fatal(err)
	}
	var ran sync.WaitGroup
	ran.Go(func() {
		if err := e.Run(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	defer ran.Wait() // before the session is closed
	defer e.Drain()

	var alone [requests][]uint32
	for i := range alone {
		alone[i] = generate(t, e, mixedRequest(i, session.Limits().VocabSize))
	}
	var wg sync.WaitGroup
	for i := range alone {
		wg.Go(func() {
			got := generate(t, e, mixedRequest(i, session.Limits().VocabSize))
			if !slices.Equal(got, alone[i]) {
				t.Errorf("request %d gives %v, alone %v", i, got, alone[i])
			}
		})
	}
	wg.Wait()
}

// mixedRequest is a request of random length, the same for the same number.
func mixedRequest(i, vocabulary int) engine.Request {
	random := rand.New(rand.NewPCG(uint64(i), 32))
	r := engine.Request{
		Prompt:    prompt(random, vocabulary, 1+random.IntN(110)),
		MaxTokens: 1 + random.IntN(24), Sampling: sampling.Greedy(), WantTokenIDs: true,
	}
	if i%2 == 1 {
		r.Sampling = sampling.Params{
			Temperature: 0.8, TopK: 50, TopP: 0.95, MinP: 0.01,
			RepetitionPenalty: 1.1, PresencePenalty: 0.2, FrequencyPenalty: 0.1, Seed: uint64(i),
		}
	}
	return r
}

// generate runs a request to its end and returns its tokens.
func generate(t *testing.T, e *engine.Engine, r engine.Request) (ids []uint32) {
	t.Helper()
	out, err := e.Submit(t.Context(), r)
	if err != nil {
		t.Error(err)
		return nil
	}
	for {
		u, err := out.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return ids
		}
		if err != nil {
			t.Error(err)
			return nil
		}
		ids = append(ids, u.TokenIDs...)
	}
}

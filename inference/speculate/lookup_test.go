package speculate_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/speculate"
)

// TestPropose: what followed the longest run that came before, the latest time.
func TestPropose(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prompt []uint32
		most   int
		want   []uint32
	}{
		"nothing came before": {[]uint32{1, 2, 3, 4}, 8, nil},
		"one token is no run": {[]uint32{1, 2, 3, 1}, 8, nil},
		"two tokens":          {[]uint32{1, 2, 3, 9, 1, 2}, 2, []uint32{3, 9}},
		"the longest run":     {[]uint32{1, 2, 3, 7, 9, 2, 3, 8, 1, 2, 3}, 1, []uint32{7}},
		"the latest time":     {[]uint32{1, 2, 7, 0, 1, 2, 8, 0, 1, 2}, 1, []uint32{8}},
		"beyond the end":      {[]uint32{5, 6, 5, 6}, 5, []uint32{5, 6, 5, 6, 5}},
		"no end":              {[]uint32{5, 5, 5}, 99, []uint32{5, 5, 5, 5, 5, 5, 5, 5}},
		"at most":             {[]uint32{1, 2, 3, 4, 5, 6, 1, 2}, 1, []uint32{3}},
		"none at most":        {[]uint32{1, 2, 3, 4, 5, 6, 1, 2}, 0, nil},
		"empty":               {nil, 8, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := speculate.New(test.prompt, 10).Propose(nil, test.most); !slices.Equal(got, test.want) {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

// TestAppendEqualsPrompt: it makes no difference whether tokens were the prompt or came later.
func TestAppendEqualsPrompt(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		tokens := make([]uint32, 2+rng.IntN(200))
		for i := range tokens {
			tokens[i] = rng.Uint32N(4)
		}
		at := rng.IntN(len(tokens))
		grown := speculate.New(tokens[:at], len(tokens)-at)
		for _, id := range tokens[at:] {
			grown.Append(id)
		}
		got := grown.Propose(nil, 1)
		want := speculate.New(tokens, 0).Propose(nil, 1)
		if !slices.Equal(got, want) {
			t.Fatalf("%d: got %d, want %d", tokens, got, want)
		}
	}
}

// TestRate: guesses that are never right are soon known to be worth little, and come back with luck.
func TestRate(t *testing.T) {
	t.Parallel()
	l := speculate.New([]uint32{1, 2, 3, 1, 2}, 1000)
	if rate := l.Rate(); rate < 0.5 || rate > 0.7 {
		t.Fatalf("a rate of %v at first", rate)
	}
	next := uint32(10)
	for range 40 { // "1 2" is followed by another token each time
		l.Append(next)
		l.Append(1)
		l.Append(2)
		next++
	}
	if rate := l.Rate(); rate > 0.05 {
		t.Errorf("a rate of %v after 40 wrong guesses", rate)
	}
	for i := range 200 {
		l.Append(uint32(i % 5))
	}
	if rate := l.Rate(); rate < 0.95 {
		t.Errorf("a rate of %v after 200 right guesses", rate)
	}
}

// TestAllocations: once made, it takes no memory.
func TestAllocations(t *testing.T) {
	l := speculate.New(nil, 2000)
	dst := make([]uint32, 0, speculate.MaxTokens)
	i := uint32(0)
	if n := testing.AllocsPerRun(1000, func() {
		l.Append(i % 7)
		i++
		dst = l.Propose(dst[:0], 8)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

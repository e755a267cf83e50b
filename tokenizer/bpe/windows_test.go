package bpe_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/tokenizer/bpe"
)

// TestWindows: very long words are what the naive twin makes of them, those too whose tokens depend on what stands
// far away: in a run of one letter it is its length, in a word of a period its beginning.
func TestWindows(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(13, 14))
	for i := range 40 {
		c := random(rng, rng.IntN(120))
		if i%2 == 0 { // merges that make no sense as texts
			for range rng.IntN(12) {
				c.Merges = append(c.Merges, bpe.Merge{Left: rng.Uint32N(4) + 'a', Right: rng.Uint32N(4) + 'a', Into: rng.Uint32N(4) + 'a'})
			}
			c.Words = nil
		}
		m, err := bpe.New(*c)
		if err != nil {
			t.Fatal(err)
		}
		s := bpe.NewScratch()
		n := 1025 + rng.IntN(1500)
		period := randomWord(rng, 1+rng.IntN(7))
		for _, word := range []string{
			strings.Repeat("a", n), strings.Repeat(period, n/len(period)+1), randomWord(rng, n),
			randomWord(rng, 3) + strings.Repeat(period, n/len(period)+1) + randomWord(rng, 3),
		} {
			want := naive(c, word)
			for range 2 {
				if got := m.Append(nil, word, s); !slices.Equal(got, want) {
					t.Fatalf("%.40q of %d bytes: %d tokens, want %d", word, len(word), len(got), len(want))
				}
			}
		}
	}
}

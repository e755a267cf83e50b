package bpe_test

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/tokenizer/bpe"
)

// naive merges as the definition says: look for the lowest rank, leftmost, until there is none.
func naive(c *bpe.Config, word string) []uint32 {
	ranks := map[[2]uint32]int{}
	for rank, m := range c.Merges {
		ranks[[2]uint32{m.Left, m.Right}] = rank
	}
	var symbols []uint32
	unknown := false
	for _, b := range []byte(word) {
		id := c.Bytes[b]
		if id == bpe.None {
			if c.Unknown == bpe.None || (unknown && c.FuseUnknown) {
				continue
			}
			id, unknown = c.Unknown, true
		} else {
			unknown = false
		}
		symbols = append(symbols, id)
	}
	for {
		at, best := -1, len(c.Merges)
		for i := range len(symbols) - 1 {
			if rank, ok := ranks[[2]uint32{symbols[i], symbols[i+1]}]; ok && rank < best {
				at, best = i, rank
			}
		}
		if at < 0 {
			return symbols
		}
		symbols[at] = c.Merges[best].Into
		symbols = slices.Delete(symbols, at+1, at+2)
	}
}

// random makes a model of a few letters whose merges are texts of earlier tokens, as trained ones are.
func random(rng *rand.Rand, merges int) *bpe.Config {
	c := &bpe.Config{Unknown: bpe.None}
	for b := range c.Bytes {
		c.Bytes[b] = uint32(b)
	}
	c.Bytes['d'] = bpe.None
	if rng.IntN(2) == 0 {
		c.Unknown, c.FuseUnknown = 256, rng.IntN(2) == 0
	}
	texts, ids := []string{"a", "b", "c"}, map[string]uint32{"a": 'a', "b": 'b', "c": 'c'}
	for range merges {
		a, b := texts[rng.IntN(len(texts))], texts[rng.IntN(len(texts))]
		if len(a+b) > 12 {
			continue
		}
		into, ok := ids[a+b]
		if !ok {
			into = uint32(300 + len(ids))
			ids[a+b] = into
			texts = append(texts, a+b)
		}
		c.Merges = append(c.Merges, bpe.Merge{Left: ids[a], Right: ids[b], Into: into})
	}
	for text, id := range ids {
		c.Words = append(c.Words, bpe.Word{Text: text, ID: id})
	}
	return c
}

func randomWord(rng *rand.Rand, n int) string {
	word := make([]byte, n)
	for i := range word {
		word[i] = "abcd"[rng.IntN(3+rng.IntN(2))]
	}
	return string(word)
}

// check encodes a word twice, so that the second time comes from the cache, and once without a cache.
func check(t *testing.T, c *bpe.Config, m *bpe.Model, s *bpe.Scratch, word string) {
	t.Helper()
	want := naive(c, word)
	for _, scratch := range []*bpe.Scratch{s, s, {}} {
		if got := m.Append([]uint32{9}, word, scratch); got[0] != 9 || !slices.Equal(got[1:], want) {
			t.Fatalf("%q: got %d, want %d", word, got[1:], want)
		}
	}
}

func TestNaiveTwin(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		c := random(rng, rng.IntN(80))
		m, err := bpe.New(*c)
		if err != nil {
			t.Fatal(err)
		}
		s := bpe.NewScratch()
		for n := range 130 {
			check(t, c, m, s, randomWord(rng, n))
		}
		check(t, c, m, s, strings.Repeat("a", 700)) // through the heap
		check(t, c, m, s, randomWord(rng, 1100))    // through windows
	}
}

// TestHostileMerges: merges that make no sense as texts still end, as the naive twin does.
func TestHostileMerges(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		c := &bpe.Config{Unknown: bpe.None}
		for b := range c.Bytes {
			c.Bytes[b] = uint32(b % 4)
		}
		for range rng.IntN(12) {
			c.Merges = append(c.Merges, bpe.Merge{Left: rng.Uint32N(4), Right: rng.Uint32N(4), Into: rng.Uint32N(4)})
		}
		m, err := bpe.New(*c)
		if err != nil {
			t.Fatal(err)
		}
		s := bpe.NewScratch()
		for n := range 100 {
			check(t, c, m, s, randomWord(rng, n))
		}
		check(t, c, m, s, randomWord(rng, 1100))
	}
}

func TestIgnoreMerges(t *testing.T) {
	t.Parallel()
	c := bpe.Config{Unknown: bpe.None, IgnoreMerges: true, Words: []bpe.Word{{Text: "ab", ID: 7}, {Text: strings.Repeat("x", 90), ID: 8}}}
	for b := range c.Bytes {
		c.Bytes[b] = uint32(1000 + b)
	}
	m, err := bpe.New(c)
	if err != nil {
		t.Fatal(err)
	}
	s := bpe.NewScratch()
	for word, want := range map[string][]uint32{"ab": {7}, strings.Repeat("x", 90): {8}, "ba": {1098, 1097}} {
		if got := m.Append(nil, word, s); !slices.Equal(got, want) {
			t.Errorf("%q: %d, want %d", word, got, want)
		}
	}
	c.IgnoreMerges = false // no merges lead to the words
	if m, err = bpe.New(c); err != nil {
		t.Fatal(err)
	}
	if got := m.Append(nil, "ab", bpe.NewScratch()); len(got) != 2 {
		t.Errorf("ab without its merge: %d", got)
	}
}

// TestLongRun: a megabyte of one letter is encoded, and gives back its length.
func TestLongRun(t *testing.T) {
	t.Parallel()
	c := random(rand.New(rand.NewPCG(5, 6)), 60)
	m, err := bpe.New(*c)
	if err != nil {
		t.Fatal(err)
	}
	lengths := map[uint32]int{}
	for _, w := range c.Words {
		lengths[w.ID] = len(w.Text)
	}
	const n = 1 << 20
	total := 0
	for _, id := range m.Append(nil, strings.Repeat("a", n), bpe.NewScratch()) {
		total += lengths[id]
	}
	if total != n {
		t.Errorf("%d bytes of %d", total, n)
	}
}

func FuzzMerge(f *testing.F) {
	f.Add(uint64(1), uint64(2), []byte("aabbabcabcd"))
	f.Add(uint64(3), uint64(4), []byte(strings.Repeat("ab", 60)))
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64, word []byte) {
		if len(word) > 2000 {
			return
		}
		rng := rand.New(rand.NewPCG(seed1, seed2))
		c := random(rng, int(binary.LittleEndian.Uint16(append(word[:min(2, len(word))], 0, 0))%90))
		m, err := bpe.New(*c)
		if err != nil {
			t.Fatal(err)
		}
		for i := range word {
			word[i] = "abcd"[word[i]%4]
		}
		check(t, c, m, bpe.NewScratch(), string(word))
	})
}

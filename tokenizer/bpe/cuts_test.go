package bpe_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/tokenizer/bpe"
)

// characters makes a model whose tokens are texts of the bytes of a few characters, so that merges cross the borders of
// characters, and lie within them.
func characters(rng *rand.Rand, merges int) *bpe.Config {
	c := &bpe.Config{Unknown: bpe.None, IgnoreMerges: rng.IntN(3) == 0}
	letters := "中の口é a"
	ids := map[string]uint32{}
	var texts []string
	for b := range c.Bytes {
		text := string([]byte{byte(b)})
		c.Bytes[b] = uint32(b)
		ids[text] = uint32(b)
		if strings.Contains(letters, text) {
			texts = append(texts, text)
		}
	}
	whole := rng.IntN(2) == 0 // characters first, as training on a lot of text does
	for _, ch := range []string{"中", "の", "口", "é"} {
		for n := 2; whole && n <= len(ch); n++ {
			left, right := ch[:n-1], ch[n-1:n]
			if _, ok := ids[ch[:n]]; !ok {
				ids[ch[:n]] = uint32(len(ids))
			}
			c.Merges = append(c.Merges, bpe.Merge{Left: ids[left], Right: ids[right], Into: ids[ch[:n]]})
		}
		if whole {
			texts = append(texts, ch)
		}
	}
	for range merges {
		a, b := texts[rng.IntN(len(texts))], texts[rng.IntN(len(texts))]
		if len(a+b) > 14 {
			continue
		}
		if _, ok := ids[a+b]; !ok {
			ids[a+b] = uint32(len(ids))
			texts = append(texts, a+b)
		}
		c.Merges = append(c.Merges, bpe.Merge{Left: ids[a], Right: ids[b], Into: ids[a+b]})
	}
	for text, id := range ids {
		c.Words = append(c.Words, bpe.Word{Text: text, ID: id})
	}
	return c
}

// TestCuts: words of many characters, whole and broken, are what the naive twin makes of them.
func TestCuts(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 10))
	parts := []string{"中", "の", "口", "é", " ", "a", "\xe4", "\xb8", "\xad", "\xff"}
	for range 200 {
		c := characters(rng, rng.IntN(60))
		m, err := bpe.New(*c)
		if err != nil {
			t.Fatal(err)
		}
		s := bpe.NewScratch()
		whole := map[string]uint32{}
		for _, w := range c.Words {
			whole[w.Text] = w.ID
		}
		for n := range 60 {
			var b strings.Builder
			for range n {
				b.WriteString(parts[rng.IntN(4+rng.IntN(len(parts)-3))])
			}
			word := b.String()
			want := naive(c, word)
			if id, ok := whole[word]; ok && c.IgnoreMerges {
				want = []uint32{id}
			}
			for range 2 {
				if got := m.Append(nil, word, s); !slices.Equal(got, want) {
					t.Fatalf("%q: got %d, want %d", word, got, want)
				}
			}
		}
	}
}

// FuzzCuts is TestCuts for any bytes.
func FuzzCuts(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(40), "中の口é a中中")
	f.Add(uint64(3), uint64(4), uint8(9), "\xe4\xb8中\xad口")
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64, merges uint8, word string) {
		if len(word) > 300 {
			return
		}
		c := characters(rand.New(rand.NewPCG(seed1, seed2)), int(merges))
		c.IgnoreMerges = false
		m, err := bpe.New(*c)
		if err != nil {
			t.Fatal(err)
		}
		check(t, c, m, bpe.NewScratch(), word)
	})
}

// TestAllocations: encoding words takes no memory once the buffers are there, whether the cache knows them or not.
func TestAllocations(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	m, err := bpe.New(*characters(rng, 50))
	if err != nil {
		t.Fatal(err)
	}
	words := make([]string, 5000)
	for i := range words {
		words[i] = strings.Repeat("中の口é a", 60)[:1+i%700]
	}
	s := bpe.NewScratch()
	var dst []uint32
	run := func() {
		for _, w := range words {
			dst = m.Append(dst[:0], w, s)
		}
	}
	run()
	if n := testing.AllocsPerRun(3, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

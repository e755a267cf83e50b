package bpe_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/tokenizer/bpe"
)

// BenchmarkAppend encodes words that are long, with the model of the tests. "Random" has no period.
func BenchmarkAppend(b *testing.B) {
	rng := rand.New(rand.NewPCG(5, 6))
	c := random(rng, 60)
	m, err := bpe.New(*c)
	if err != nil {
		b.Fatal(err)
	}
	for name, word := range map[string]string{
		"short":      "abcabc",
		"uncached48": randomWord(rng, 48),
		"heap1000":   randomWord(rng, 1000),
		"letter1M":   strings.Repeat("a", 1<<20),
		"random1M":   randomWord(rng, 1<<20),
	} {
		b.Run(name, func(b *testing.B) {
			s := bpe.NewScratch()
			var dst []uint32
			b.SetBytes(int64(len(word)))
			b.ReportAllocs()
			for b.Loop() {
				dst = m.Append(dst[:0], word, s)
			}
		})
	}
}

package sampling

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Any processor's scan finds the same maxima, and a sum that is no number where a logit is none.
func TestScanBlocks(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	odd := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32, -math.MaxFloat32, 0, float32(math.Copysign(0, -1))}
	for range 2000 {
		blocks := random.IntN(5)
		row := make([]float32, blocks*blockSize)
		for i := range row {
			row[i] = float32(random.NormFloat64())
			if random.IntN(200) == 0 {
				row[i] = odd[random.IntN(len(odd))]
			}
		}
		maxima, sums, wantMaxima, wantSums := make([]float32, blocks), make([]float32, blocks), make([]float32, blocks), make([]float32, blocks)
		scanBlocks(row, maxima, sums)
		scanBlocksGo(row, wantMaxima, wantSums)
		for b := range maxima {
			none := wantSums[b]-wantSums[b] != 0
			if got := sums[b]-sums[b] != 0; got != none && checkBlock(row, b*blockSize) != nil {
				t.Fatalf("block %d sums up to %v, not %v", b, sums[b], wantSums[b])
			}
			if !none && maxima[b] != wantMaxima[b] {
				t.Fatalf("block %d has the maximum %v, not %v", b, maxima[b], wantMaxima[b])
			}
		}
	}
}

func BenchmarkScan(b *testing.B) {
	row := make([]float32, 49152)
	for i := range row {
		row[i] = float32(math.Sin(float64(i)))
	}
	s := NewScratch(len(row))
	for b.Loop() {
		if _, err := s.scan(row); err != nil {
			b.Fatal(err)
		}
	}
}

package sampling

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Any processor's weights and sums are the same bits.
func TestWeighBlock(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		var block, want [blockSize]float32
		scale := math.Exp2(float64(random.IntN(12) - 4))
		best := float32(math.Inf(-1))
		for i := range block {
			block[i] = float32(random.NormFloat64() * scale)
			if random.IntN(50) == 0 {
				block[i] = []float32{float32(math.Inf(-1)), -math.MaxFloat32, 0, float32(math.Copysign(0, -1))}[random.IntN(4)]
			}
			best = max(best, block[i])
		}
		best += float32(random.IntN(2)) * 3
		inverse := float32(math.Exp2(random.Float64()*20 - 10))
		if random.IntN(20) == 0 {
			inverse = 1 / float32(smallest)
		}
		want = block
		got, wanted := weighBlock(&block, best, inverse), weighGo(want[:], best, inverse)
		if math.Float64bits(got) != math.Float64bits(wanted) {
			t.Fatalf("the sum is %v, not %v", got, wanted)
		}
		for i := range block {
			if math.Float32bits(block[i]) != math.Float32bits(want[i]) {
				t.Fatalf("weight %d is %v, not %v", i, block[i], want[i])
			}
		}
	}
}

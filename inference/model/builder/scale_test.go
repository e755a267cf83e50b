package builder

import (
	"math"
	"testing"
)

// TestSearchScale: of random blocks, the scale that is found errs less than that of the range, by the weighted squares,
// and less than any of a fine grid does, but for a little.
func TestSearchScale(t *testing.T) {
	t.Parallel()
	for name, offsets := range map[string]bool{"symmetric": false, "with offsets": true} {
		random := newRandom(name)
		var found, plain, best float64
		for range 50 {
			values, importance := make([]float32, 32), make([]float32, 32)
			for i := range values {
				values[i] = random.weight() * random.weight()
				importance[i] = float32(math.Exp(float64(4 * random.weight())))
			}
			errs := func(d, o float32) (sum float64) {
				codes := make([]int8, len(values))
				roundBlock(values, codes, d, o, -8, 7)
				for i, c := range codes {
					e := float64(values[i]) - float64(d)*float64(c) - float64(o)
					sum += e * e * float64(importance[i])
				}
				return sum
			}
			row := codedRow{c: make([]int8, 32), d: make([]float32, 1), o: make([]float32, 1)}
			roundRow(values, row, 4, offsets)
			plain += errs(row.d[0], row.o[0])
			found += errs(searchScale(values, importance, offsets))
			least := math.Inf(1)
			for shrink := float32(0.6); shrink < 1.3; shrink += 0.001 {
				if offsets {
					middle := row.o[0] - row.d[0]/2
					least = min(least, errs(row.d[0]*shrink, middle+row.d[0]*shrink/2))
				} else {
					least = min(least, errs(row.d[0]*shrink, 0), errs(-row.d[0]*shrink, 0))
				}
			}
			best += least
		}
		t.Logf("%s: the range errs by %.4g, the search by %.4g, the grid by %.4g", name, plain, found, best)
		if found > 0.9*plain || found > 1.05*best {
			t.Errorf("%s: the search errs by %g, the range by %g and the best of a grid by %g", name, found, plain, best)
		}
	}
}

// TestSearchScaleOfLittle: blocks of equal values, of zeros and of no importance have finite scales.
func TestSearchScaleOfLittle(t *testing.T) {
	t.Parallel()
	for _, values := range [][]float32{{0, 0}, {1, 1}, {-3, -3}, {0, 1e-45}, {1, -1}} {
		for _, importance := range [][]float32{{0, 0}, {1, 0}, {1, 1}} {
			for _, offsets := range []bool{false, true} {
				d, o := searchScale(values, importance, offsets)
				if !finite([]float32{d, o}) {
					t.Errorf("%v of importance %v, offsets %v: scale %v, offset %v", values, importance, offsets, d, o)
				}
			}
		}
	}
}

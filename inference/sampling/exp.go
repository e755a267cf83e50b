package sampling

import "math"

// negligible is the exponent below which a weight is 0: a token less likely than 2^-40 of the most likely one is
// never drawn. All of them together are less than 2^-22 of it in a vocabulary of 262,144.
const negligible = -40 * math.Ln2

// The exponential is expf of the Cephes library (Moshier): reduction to |r| ≤ ln 2 / 2 with ln 2 in two parts, then a
// polynomial, here by Estrin's scheme, whose chain of dependent operations is half as long as Horner's.
const (
	expRound   = 3 << 22 // adding and subtracting it rounds to an integer
	expLn2     = 0.693359375
	expLn2Rest = -2.12194440e-4
	expC5      = 1.9875691500e-4
	expC4      = 1.3981999507e-3
	expC3      = 8.3334519073e-3
	expC2      = 4.1665795894e-2
	expC1      = 1.6666665459e-1
	expC0      = 5.0000001201e-1
)

// Of a float32.
const (
	exponentShift = 23
	exponentBias  = 127
	smallest      = 0x1p-126 // normal one
)

// weigh replaces logits, none above best, by their weights exp((logit - best) / temperature), and returns the sum of
// these. The relative error is below 2e-7 for temperature 1. Weights and sum are the same bits on every platform.
func weigh(logits []float32, best, temperature float32) (sum float64) {
	inverse := 1 / max(temperature, smallest) // finite, so that 0 times it is 0
	for len(logits) >= blockSize {
		sum += weighBlock((*[blockSize]float32)(logits), best, inverse)
		logits = logits[blockSize:]
	}
	if len(logits) > 0 {
		sum += weighGo(logits, best, inverse)
	}
	return sum
}

// weighGo is weighBlock for any processor and at most a block. The exponential is written out in the loop since the compiler
// does not inline it. The conversions keep it from fusing products with sums, which would make results differ between platforms,
// and the order in which the weights are added is that of two registers of four.
func weighGo(logits []float32, best, inverse float32) float64 {
	var lanes [8]float64
	for i, logit := range logits {
		x := (logit - best) * inverse
		if x < negligible {
			logits[i] = 0
			continue
		}
		n := (float32(x*math.Log2E) + expRound) - expRound
		r := x - float32(n*expLn2)
		r -= float32(n * expLn2Rest)
		square := float32(r * r)
		y := float32(expC0+float32(expC1*r)) + float32(square*float32(expC2+float32(expC3*r)))
		y += float32(float32(square*square) * float32(expC4+float32(expC5*r)))
		y = float32(y*square) + (r + 1)
		w := y * math.Float32frombits(uint32(int32(n)+exponentBias)<<exponentShift)
		logits[i] = w
		lanes[i%len(lanes)] += float64(w)
	}
	return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

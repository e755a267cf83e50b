package sampling

import "math"

// negligible is the exponent below which a weight is 0: a token less likely than 2^-40 of the most likely one is
// never drawn. All of them together are less than 2^-22 of it in a vocabulary of 262,144.
const negligible = -40 * math.Ln2

// weigh replaces logits, none above best, by their weights exp((logit - best) / temperature), and returns the sum of
// these. The relative error is below 2e-7 for temperature 1. The exponential is expf of the Cephes library (Moshier):
// reduction to |r| ≤ ln 2 / 2 with ln 2 in two parts, then a polynomial (here by Estrin's scheme, whose chain of
// dependent operations is half as long as Horner's: that is what bounds the loop). It is written out in the loop since the
// compiler doesn't inline it, and the conversions keep the compiler from fusing products with sums, which would make
// results differ between platforms.
func weigh(logits []float32, best, temperature float32) (sum float64) {
	const (
		round          = 3 << 22 // adding and subtracting it rounds to an integer
		ln2            = 0.693359375
		ln2Rest        = -2.12194440e-4
		c5, c4         = 1.9875691500e-4, 1.3981999507e-3
		c3, c2         = 8.3334519073e-3, 4.1665795894e-2
		c1, c0         = 1.6666665459e-1, 5.0000001201e-1
		exponent       = 23
		smallestNormal = 0x1p-126
		bias           = 127
	)
	inverse := 1 / max(temperature, smallestNormal) // finite, so that 0 times it is 0
	for i, logit := range logits {
		x := (logit - best) * inverse
		if x < negligible {
			logits[i] = 0
			continue
		}
		n := (float32(x*math.Log2E) + round) - round
		r := x - float32(n*ln2)
		r -= float32(n * ln2Rest)
		square := float32(r * r)
		y := float32(c0+float32(c1*r)) + float32(square*float32(c2+float32(c3*r)))
		y += float32(float32(square*square) * float32(c4+float32(c5*r)))
		y = float32(y*square) + (r + 1)
		w := y * math.Float32frombits(uint32(int32(n)+bias)<<exponent)
		logits[i] = w
		sum += float64(w)
	}
	return sum
}

package sampling

import "math"

// negligible is the exponent below which a weight is 0: a token less likely than 2^-40 of the most likely one is
// never drawn. All of them together are less than 2^-22 of it in a vocabulary of 262,144.
const negligible = -40 * math.Ln2

// exp is e^x for x ≤ 0, 0 below negligible; relative error below 2e-7. It is expf of the Cephes library (Moshier):
// reduction to |r| ≤ ln 2 / 2 with ln 2 in two parts, then a polynomial. The conversions keep the compiler from
// fusing products with sums, which would make results differ between platforms.
func exp(x float32) float32 {
	const (
		round    = 3 << 22 // adding and subtracting it rounds to an integer
		ln2      = 0.693359375
		ln2Rest  = -2.12194440e-4
		c5, c4   = 1.9875691500e-4, 1.3981999507e-3
		c3, c2   = 8.3334519073e-3, 4.1665795894e-2
		c1, c0   = 1.6666665459e-1, 5.0000001201e-1
		exponent = 23
		bias     = 127
	)
	if x < negligible {
		return 0
	}
	n := (float32(x*math.Log2E) + round) - round
	r := x - float32(n*ln2)
	r -= float32(n * ln2Rest)
	y := float32(c5*r) + c4
	y = float32(y*r) + c3
	y = float32(y*r) + c2
	y = float32(y*r) + c1
	y = float32(y*r) + c0
	y = float32(y*float32(r*r)) + r + 1
	return y * math.Float32frombits(uint32(int32(n)+bias)<<exponent)
}

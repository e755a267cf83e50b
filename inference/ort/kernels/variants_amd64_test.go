package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// variants are those that this processor can run. Where it can run none, the test is skipped.
func variants(tb testing.TB) []Variant {
	tb.Helper()
	if !Supported() {
		tb.Skip("this processor has neither AVX2 nor AVX-512 VNNI")
	}
	var all []Variant
	for v := AVX2; v <= Best(); v++ {
		all = append(all, v)
	}
	return all
}

// eachVariant runs a test once for each variant that this processor can run.
func eachVariant(t *testing.T, test func(t *testing.T, v Variant)) {
	t.Helper()
	for _, v := range variants(t) {
		t.Run(v.String(), func(t *testing.T) { test(t, v) })
	}
}

// on makes a state compute by another variant.
func (s *State) on(v Variant) *State {
	s.setVariant(v)
	return s
}

// sameBits fails where two variants' results are not the same bits. NaN is NaN, whatever it carries.
func sameBits(t *testing.T, name string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Errorf("%s: value %d is %v by AVX2 (%#x), %v by AVX-512 (%#x)", name, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
			return
		}
	}
}

// needBoth skips a test where there is one variant only to compare.
func needBoth(t *testing.T) {
	t.Helper()
	if Best() != AVX512 {
		t.Skip("this processor has no AVX-512 VNNI to compare AVX2 with")
	}
}

// spread draws values of either sign and of all sizes: the largest about 2^most, and some as small as floats get.
func spread(rng *rand.Rand, n int, most float64) []float32 {
	values := make([]float32, n)
	for i := range values {
		size := most - 8*rng.ExpFloat64()
		values[i] = float32(math.Ldexp(2*rng.Float64()-1, int(size)))
	}
	return values
}

// TestVariantsMultiply: products of all forms are the same bits, of inputs of all sizes, with their gates and caps far beyond
// where these are 0, denormal or their bounds.
func TestVariantsMultiply(t *testing.T) {
	needBoth(t)
	rng := rand.New(rand.NewPCG(31, 32))
	for i := range 384 {
		bits, offsets, exact, bias, gate := 4+4*(i&1), i&2 != 0, i&4 != 0, i&8 != 0, Gate(i/16%3)
		block := []int{16, 32, 64, 128, 32}[rng.IntN(5)]
		out, in, rows := 2*(1+rng.IntN(50)), min(block, 32)*(1+rng.IntN(12)), 1+rng.IntN(20)
		w := randomBlocks(rng, out, in, block, bits, offsets, bias, gate, exact)
		if bits == 8 && !offsets && block == BlockLength {
			w = randomByOutput(rng, out, in, bias, gate)
		}
		if gate == NoGate && i&32 != 0 {
			w.Cap = 2
		}
		name := fmt.Sprintf("%d: %d by %d of %d bits in blocks of %d, offsets %t, by output %t, gate %d, cap %v, %d rows", i, out, in, bits, block, offsets, w.ByOutput, gate, w.Cap, rows)
		m, s := pack(t, w), testState(t, 1+i%3, in)
		x := spread(rng, rows*in, []float64{2, 8, 20, 126, -120}[rng.IntN(5)])
		for _, v := range []float64{0, math.NaN(), math.Inf(1), math.Inf(-1), 1e-38, -1e-44}[:rng.IntN(7)] {
			x[rng.IntN(len(x))] = float32(v)
		}
		want := s.on(AVX512).multiply(m, x, rows)
		sameBits(t, name, s.on(AVX2).multiply(m, x, rows), want)
	}
}

// TestVariantsExtremes: sums of the largest codes that there are, which come nearest to what 16 bits hold, are the same.
func TestVariantsExtremes(t *testing.T) {
	needBoth(t)
	const out, in, rows = 32, 5 * BlockLength, 9
	rng := rand.New(rand.NewPCG(33, 34))
	for _, code := range []byte{0, 0x0f, 0x80, 0x81, 0x7f, 0xf0, 0xff} {
		for name, w := range map[string]Weights{
			"4 bits": randomWeights(rng, out, in, 4, true, false, NoGate, true), "4 bits, centred": randomWeights(rng, out, in, 4, false, false, NoGate, true),
			"8 bits": randomWeights(rng, out, in, 8, true, false, NoGate, true), "8 bits, centred": randomWeights(rng, out, in, 8, false, false, NoGate, true),
			"by output": randomByOutput(rng, out, in, false, NoGate), "short": randomBlocks(rng, out, in, ShortBlock, 8, false, false, NoGate, true),
		} {
			for i := range w.Codes {
				w.Codes[i] = code
			}
			m, s := pack(t, w), testState(t, 1, in)
			for _, sign := range []float32{1, -1} {
				x := make([]float32, rows*in)
				for i := range x {
					x[i] = sign
				}
				want := s.on(AVX512).multiply(m, x, rows)
				sameBits(t, fmt.Sprintf("%s, codes %#x, inputs %v", name, code, sign), s.on(AVX2).multiply(m, x, rows), want)
			}
		}
	}
}

// TestVariantsAttend: attention is the same bits, of keys and values of common sizes and of large ones. Of denormal numbers it is
// not, where there is AVX512_BF16, which takes them for 0.
func TestVariantsAttend(t *testing.T) {
	needBoth(t)
	rng := rand.New(rand.NewPCG(35, 36))
	for i := range 48 {
		size := HeadUnit * (1 + rng.IntN(8))
		kvHeads := 1 + rng.IntN(3)
		c := newAttended(rng, kvHeads*(1+rng.IntN(5)), kvHeads, size, 100+rng.IntN(300))
		c.cap, c.window = float32(i%3)*4, []int{0, 1, 50, 128, 200}[i%5]
		if i%4 > 1 {
			c = c.normed(rng, i%4 == 3)
		}
		width := (c.heads + 2*c.kvHeads) * c.size
		qkv := make([]float32, c.length*width)
		for j := range qkv {
			qkv[j] = float32(math.Ldexp(rng.NormFloat64(), i%9-3))
		}
		results := map[Variant][]float32{}
		for _, v := range variants(t) {
			c.variant = v
			s := c.state(t)
			s.Reset()
			s.AddRun(0, 0, c.length) // a prompt, then its last tokens again: with their keys divided
			results[v] = s.attend(0, qkv)
			s.Reset()
			s.AddRun(0, c.length-3, 3)
			results[v] = append(results[v], s.attend(0, qkv[(c.length-3)*width:])...)
		}
		sameBits(t, fmt.Sprintf("%d heads, %d of keys, of %d values, window %d, cap %v", c.heads, c.kvHeads, c.size, c.window, c.cap), results[AVX2], results[AVX512])
	}
}

// TestVariantsProgram: a decoder's logits are the same bits, on any number of threads.
func TestVariantsProgram(t *testing.T) {
	needBoth(t)
	rng := rand.New(rand.NewPCG(37, 38))
	d := newTestDecoder(t, rng)
	x := spread(rng, d.length*testHidden, 3)
	for threads := 1; threads <= 3; threads++ {
		results := map[Variant][]float32{}
		for _, v := range variants(t) {
			d.variant = v
			s := d.state(t, threads)
			s.Reset()
			s.AddRun(0, 0, d.length)
			results[v] = s.run(d.program, x, places(0, d.length))
		}
		sameBits(t, fmt.Sprintf("%d threads", threads), results[AVX2], results[AVX512])
	}
}

package quant

import (
	"encoding/binary"
	"math"
)

// Float16 is the value of an IEEE 754 half, subnormals, infinities and NaNs included.
func Float16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent := uint32(h>>10) & 0x1f
	fraction := uint32(h & 0x3ff)
	switch exponent {
	case 0: // zero and subnormals: fraction × 2⁻²⁴, exact in a single
		v := float32(fraction) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 0x1f: // infinities and NaNs
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	default:
		return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
	}
}

// ToFloat16 is the IEEE 754 half nearest to v, the even one of two; what is too large becomes infinite.
func ToFloat16(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	magnitude := bits & 0x7fffffff
	switch {
	case magnitude > 0x7f800000: // not a number
		return sign | 0x7e00
	case magnitude >= 0x47800000: // 65536 and more
		return sign | 0x7c00
	case magnitude < 0x38800000: // below the least normal half: a multiple of 2⁻²⁴
		return sign | uint16(math.RoundToEven(math.Abs(float64(v))*(1<<24)))
	}
	// Half of the last place, less one bit if it is even, carries into it and maybe on into the exponent.
	rounded := magnitude + 0xfff + magnitude>>13&1
	return sign | uint16((rounded-(127-15)<<23)>>13)
}

// bfloat16 is the value of a bfloat16.
func bfloat16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// float8E4M3 is the value of an 8-bit float with 4 bits of exponent and 3 of fraction, as machine learning has it: no
// infinities, and one NaN of each sign.
func float8E4M3(b byte) float32 {
	sign := uint32(b&0x80) << 24
	exponent, fraction := uint32(b>>3)&0xf, uint32(b&7)
	switch {
	case b&0x7f == 0x7f:
		return math.Float32frombits(sign | 0x7fc00000)
	case exponent == 0: // zero and subnormals: fraction × 2⁻⁹
		return math.Float32frombits(math.Float32bits(float32(fraction)*(1.0/512)) | sign)
	default:
		return math.Float32frombits(sign | (exponent+127-7)<<23 | fraction<<20)
	}
}

// half reads the half at the start of b.
func half(b []byte) float32 { return Float16(binary.LittleEndian.Uint16(b)) }

// The plain floats have blocks of one value; these decode any number of them.

func valuesF32(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
}

func valuesF16(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = half(b[2*i:])
	}
}

func valuesBF16(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = bfloat16(binary.LittleEndian.Uint16(b[2*i:]))
	}
}

func valuesF8E4M3(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = float8E4M3(b[i])
	}
}

func valuesF8E5M2(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = Float16(uint16(b[i]) << 8)
	}
}

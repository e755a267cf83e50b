package builder

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/quant"
)

// carrier takes the blocks of a stored type over without rounding: each value is d·c + o with an integer c that fits
// in bits, symmetric about zero, and a scale d and an offset o for every 32 values.
type carrier struct {
	bits    int
	offsets bool // whether o may differ from zero
	// row decodes a row of whole blocks. c has a value for each of the row's, d and o one for each 32 of them; o is
	// nil if there are no offsets.
	row func(data []byte, c []int8, d, o []float32)
}

// carrierOf finds how a type is carried over. Types of other widths, or whose scales are for other numbers of values
// (Q6_K: 16), are not.
func carrierOf(t model.Type) (carrier, bool) {
	switch t {
	case model.Q4_0:
		return carrier{bits: 4, row: rowQ40}, true
	case model.Q4_1:
		return carrier{bits: 4, offsets: true, row: rowQ41}, true
	case model.Q4_K:
		return carrier{bits: 4, offsets: true, row: rowQ4K}, true
	case model.Q5_0:
		return carrier{bits: 8, row: rowQ50}, true
	case model.Q5_1:
		return carrier{bits: 8, offsets: true, row: rowQ51}, true
	case model.Q5_K:
		return carrier{bits: 8, offsets: true, row: rowQ5K}, true
	case model.Q8_0:
		return carrier{bits: 8, row: rowQ80}, true
	case model.IQ4_NL: // its 16 values are integers of 8 bits
		return carrier{bits: 8, row: rowIQ4NL}, true
	case model.IQ4_XS:
		return carrier{bits: 8, row: rowIQ4XS}, true
	default:
		return carrier{}, false
	}
}

// The layouts are GGML's; inference/model/quant describes them. A nibble q of a type with offsets stands for
// d·q + m = d·(q-8) + (m+8d), a value of five bits likewise with 16.

func rowQ80(data []byte, c []int8, d, _ []float32) {
	for i := range d {
		b := data[34*i : 34*i+34]
		d[i] = half(b)
		for j, v := range b[2:] {
			c[32*i+j] = int8(v)
		}
	}
}

func rowIQ4NL(data []byte, c []int8, d, _ []float32) {
	for i := range d {
		b := data[18*i : 18*i+18]
		d[i] = half(b)
		nonlinear(c[32*i:], b[2:])
	}
}

func rowIQ4XS(data []byte, c []int8, d, _ []float32) {
	for i := range d {
		b, sub := data[136*(i/8):136*(i/8)+136], i%8
		scale := int(b[4+sub/2]>>(sub%2*4)&0xf) | int(binary.LittleEndian.Uint16(b[2:])>>(2*sub)&3)<<4
		d[i] = half(b) * float32(scale-32)
		nonlinear(c[32*i:], b[8+16*sub:8+16*sub+16])
	}
}

// nonlinear gives the 32 values that nibbles number.
func nonlinear(c []int8, nibbles []byte) {
	for i, q := range nibbles {
		c[i], c[i+16] = quant.Nonlinear(q), quant.Nonlinear(q>>4)
	}
}

func rowQ40(data []byte, c []int8, d, _ []float32) {
	for i := range d {
		b := data[18*i : 18*i+18]
		d[i] = half(b)
		nibbles(c[32*i:32*i+32], b[2:], 8)
	}
}

func rowQ41(data []byte, c []int8, d, o []float32) {
	for i := range d {
		b := data[20*i : 20*i+20]
		d[i] = half(b)
		o[i] = half(b[2:]) + 8*d[i]
		nibbles(c[32*i:32*i+32], b[4:], 8)
	}
}

func rowQ50(data []byte, c []int8, d, _ []float32) {
	for i := range d {
		b := data[22*i : 22*i+22]
		d[i] = half(b)
		fiveBits(c[32*i:32*i+32], b[6:], binary.LittleEndian.Uint32(b[2:]))
	}
}

func rowQ51(data []byte, c []int8, d, o []float32) {
	for i := range d {
		b := data[24*i : 24*i+24]
		d[i] = half(b)
		o[i] = half(b[2:]) + 16*d[i]
		fiveBits(c[32*i:32*i+32], b[8:], binary.LittleEndian.Uint32(b[4:]))
	}
}

// nibbles takes 32 values of four bits from 16 bytes, the low nibbles first, less zero.
func nibbles(c []int8, b []byte, zero int8) {
	for j, v := range b[:16] {
		c[j] = int8(v&0xf) - zero
		c[j+16] = int8(v>>4) - zero
	}
}

// fiveBits takes 32 values whose fifth bits are in high, less 16.
func fiveBits(c []int8, b []byte, high uint32) {
	nibbles(c, b, 16)
	for j := range c[:32] {
		c[j] += int8(high>>j&1) << 4
	}
}

// A K block holds 256 values in eight sub-blocks of 32 with 6-bit scales and minima of their own.

func rowQ4K(data []byte, c []int8, d, o []float32) {
	const size = 2 + 2 + 12 + 128
	for i := 0; i < len(d); i += 8 {
		b := data[size*(i/8) : size*(i/8)+size]
		subBlocks(b, d[i:i+8], o[i:i+8], 8)
		for pair := range 4 {
			// Of each 32 bytes the low nibbles are one sub-block, the high ones the next.
			values, at := b[16+32*pair:], 32*(i+2*pair)
			for j, v := range values[:32] {
				c[at+j] = int8(v&0xf) - 8
				c[at+32+j] = int8(v>>4) - 8
			}
		}
	}
}

func rowQ5K(data []byte, c []int8, d, o []float32) {
	const size = 2 + 2 + 12 + 32 + 128
	for i := 0; i < len(d); i += 8 {
		b := data[size*(i/8) : size*(i/8)+size]
		subBlocks(b, d[i:i+8], o[i:i+8], 16)
		fifths := b[16:48]
		for pair := range 4 {
			values, at := b[48+32*pair:], 32*(i+2*pair)
			for j, v := range values[:32] {
				low, high := fifths[j]>>(2*pair)&1, fifths[j]>>(2*pair+1)&1
				c[at+j] = int8(v&0xf|low<<4) - 16
				c[at+32+j] = int8(v>>4|high<<4) - 16
			}
		}
	}
}

// subBlocks gives the scales and offsets of a K block's eight sub-blocks, whose values are taken less zero. The
// 6-bit numbers are packed in 12 bytes: the first four scales and minima are the low six bits of bytes 0–3 and 4–7;
// the last four have their low nibbles in bytes 8–11 and their upper two bits at the top of bytes 0–7.
func subBlocks(b []byte, d, o []float32, zero float32) {
	scale, minimum := half(b), half(b[2:])
	packed := b[4:16]
	for i := range 4 {
		set := func(i int, s, m byte) {
			d[i] = scale * float32(s)
			o[i] = float32(zero*d[i]) - float32(minimum*float32(m))
		}
		set(i, packed[i]&63, packed[i+4]&63)
		set(i+4, packed[i+8]&0xf|packed[i]>>6<<4, packed[i+8]>>4|packed[i+4]>>6<<4)
	}
}

// roundRow rounds values to codes, each to the nearest. The values are finite.
//
// A block of 8 bits takes its largest magnitude to 127. One of 4 bits takes its largest magnitude, whatever its sign, to
// the code -8, as GGML does: the codes' range is not symmetric. With offsets its least value becomes -8 and its largest 7.
func roundRow(values []float32, to codedRow, bits int, offsets bool) {
	size := len(values) / len(to.d)
	clear(to.o)
	for i := range to.d {
		block, codes := values[size*i:size*(i+1)], to.c[size*i:size*(i+1)]
		switch least, most := slices.Min(block), slices.Max(block); {
		case bits == 8:
			to.d[i] = max(most, -least) / 127
			roundBlock(block, codes, to.d[i], 0, -127, 127)
		case offsets:
			to.d[i] = (most - least) / 15
			to.o[i] = least + float32(8*to.d[i])
			roundBlock(block, codes, to.d[i], to.o[i], -8, 7)
		default:
			to.d[i] = most / -8
			if -least > most {
				to.d[i] = least / -8
			}
			roundBlock(block, codes, to.d[i], 0, -8, 7)
		}
	}
}

// roundBlock rounds (v - o) / d.
func roundBlock(block []float32, codes []int8, d, o float32, least, most float64) {
	if d == 0 {
		clear(codes)
		return
	}
	for i, v := range block {
		// Only a scale that is a denormal number, rounded down, takes a quotient far out of the range.
		codes[i] = int8(max(least, min(most, math.RoundToEven(float64((v-o)/d)))))
	}
}

// pack4 packs codes into nibbles with the zero point 8, the first of each pair low.
func pack4(dst []byte, c []int8) {
	for i := range dst[:len(c)/2] {
		dst[i] = byte(c[2*i]+8)&0xf | byte(c[2*i+1]+8)<<4
	}
}

// pack8 stores codes as bytes with the zero point 128.
func pack8(dst []byte, c []int8) {
	for i, v := range c {
		dst[i] = byte(v) ^ 0x80
	}
}

// half reads a little-endian IEEE 754 half.
func half(b []byte) float32 { return quant.Float16(binary.LittleEndian.Uint16(b)) }

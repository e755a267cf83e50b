package quant

import "encoding/binary"

// blockQ2K: 16 bytes of 4-bit scales s and minima m (low and high nibbles), 64 bytes of 2-bit values, half scale d, half
// minimum scale. Each half of the block takes 32 bytes, and each of four shifts of them gives 32 values, of two
// sub-blocks. Value (d·s)·q − dmin·m.
func blockQ2K(dst []float32, b []byte) {
	scales, values := b[:16], b[16:80]
	d, dmin := half(b[80:]), half(b[82:])
	for sub := range 16 {
		s, m := d*float32(scales[sub]&0xf), dmin*float32(scales[sub]>>4)
		at, shift := pairs(sub)
		for i, q := range values[at : at+16] {
			dst[16*sub+i] = float32(s*float32(q>>shift&3)) - m
		}
	}
}

// pairs says where the 2-bit values of a sub-block of 16 lie in Q2_K and Q3_K: from which byte on, and how far up.
func pairs(sub int) (at, shift int) { return sub/8*32 + sub%2*16, sub % 8 / 2 * 2 }

// blockQ3K: 32 bytes of third bits, 64 bytes of 2-bit values as in Q2_K, 12 bytes of 6-bit scales s less 32, half scale
// d. Bit n of third-bit byte i belongs to value i of the n-th 32 values. Value (d·(s−32))·(q−4).
func blockQ3K(dst []float32, b []byte) {
	thirds, values, packed := b[:32], b[32:96], b[96:108]
	d := half(b[108:])
	for sub := range 16 {
		// The low nibbles of scales 0–7 and then 8–15 are those of bytes 0–7; bits 4 and 5 are two bits of bytes 8–11.
		scale := packed[sub%8]>>(sub/8*4)&0xf | packed[8+sub%4]>>(sub/4*2)&3<<4
		s := d * float32(int(scale)-32)
		at, shift := pairs(sub)
		for i, q := range values[at : at+16] {
			third := thirds[sub%2*16+i] >> (sub / 2) & 1
			dst[16*sub+i] = s * float32(int(q>>shift&3|third<<2)-4)
		}
	}
}

// Nonlinear is the value that the lower 4 bits of a byte number in IQ4_NL and IQ4_XS.
func Nonlinear(q byte) int8 {
	return [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}[q&0xf]
}

// blockIQ4NL: half scale d, 16 bytes of nibbles as in Q4_0. Value d·table(q).
func blockIQ4NL(dst []float32, b []byte) {
	nonlinearBlock(dst, half(b), b[2:18])
}

// nonlinearBlock decodes 32 values of a scale.
func nonlinearBlock(dst []float32, scale float32, nibbles []byte) {
	for i, q := range nibbles {
		dst[i] = scale * float32(Nonlinear(q))
		dst[i+16] = scale * float32(Nonlinear(q>>4))
	}
}

// blockIQ4XS: half scale d, 16 bits and 4 bytes of the upper and lower bits of eight 6-bit scales s less 32, and for
// each 32 values a block as in IQ4_NL. Value (d·(s−32))·table(q).
func blockIQ4XS(dst []float32, b []byte) {
	d, high := half(b), binary.LittleEndian.Uint16(b[2:])
	for sub := range 8 {
		low := b[4+sub/2] >> (sub % 2 * 4) & 0xf
		scale := int(low) | int(high>>(2*sub)&3)<<4
		nonlinearBlock(dst[32*sub:], d*float32(scale-32), b[8+16*sub:][:16])
	}
}

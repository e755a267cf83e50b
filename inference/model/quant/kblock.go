package quant

// subScales unpacks the eight 6-bit scales and minima of a Q4_K or Q5_K block from its 12 bytes: the first four of
// each are the low six bits of bytes 0–3 and 4–7; the last four take their low nibbles from the nibbles of bytes
// 8–11 and their top two bits from the top of bytes 0–7.
func subScales(b []byte) (scales, minima [8]float32) {
	for i := range 4 {
		scales[i] = float32(b[i] & 63)
		minima[i] = float32(b[i+4] & 63)
		scales[i+4] = float32(b[i+8]&0xf | b[i]>>6<<4)
		minima[i+4] = float32(b[i+8]>>4 | b[i+4]>>6<<4)
	}
	return scales, minima
}

// blockQ4K: half scale d and half minimum scale, 12 bytes of 6-bit scales s and minima m, 128 bytes of nibbles: of
// each 32 bytes the low nibbles are one sub-block and the high ones the next. Value (d·s)·q − dmin·m.
func blockQ4K(dst []float32, b []byte) {
	d, dmin := half(b), half(b[2:])
	scales, minima := subScales(b[4:16])
	values := b[16:144]
	for pair := range 4 {
		s0, m0 := d*scales[2*pair], dmin*minima[2*pair]
		s1, m1 := d*scales[2*pair+1], dmin*minima[2*pair+1]
		low, high := dst[64*pair:64*pair+32], dst[64*pair+32:64*pair+64]
		for i, q := range values[32*pair : 32*pair+32] {
			low[i] = float32(s0*float32(q&0xf)) - m0
			high[i] = float32(s1*float32(q>>4)) - m1
		}
	}
}

// blockQ5K: as Q4_K with 32 bytes of fifth bits before the nibbles; bit n of byte i belongs to value i of
// sub-block n.
func blockQ5K(dst []float32, b []byte) {
	d, dmin := half(b), half(b[2:])
	scales, minima := subScales(b[4:16])
	fifths, values := b[16:48], b[48:176]
	for pair := range 4 {
		s0, m0 := d*scales[2*pair], dmin*minima[2*pair]
		s1, m1 := d*scales[2*pair+1], dmin*minima[2*pair+1]
		low, high := dst[64*pair:64*pair+32], dst[64*pair+32:64*pair+64]
		for i, q := range values[32*pair : 32*pair+32] {
			bits := uint32(fifths[i]) >> (2 * pair)
			low[i] = float32(s0*float32(fifth(q&0xf, bits))) - m0
			high[i] = float32(s1*float32(fifth(q>>4, bits>>1))) - m1
		}
	}
}

// blockQ6K: 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 int8 scales s, half scale d. Each half of the
// block takes 64 nibble bytes and 32 pair bytes: 32 values from the low nibbles of the first 32 bytes, 32 of the
// second, then 32 from the high nibbles of each. Value (d·s)·(q−32).
func blockQ6K(dst []float32, b []byte) {
	nibbles, pairs, scales := b[:128], b[128:192], b[192:208]
	d := half(b[208:])
	for part := range 8 { // 32 values each
		at := part / 4 * 64       // the half's nibble bytes
		at += part % 2 * 32       // first or second 32 of them
		shift := part % 4 / 2 * 4 // low or high nibble
		pairShift := part % 4 * 2 // which pair of the byte
		pairAt := part / 4 * 32   // the half's pair bytes
		out := dst[32*part : 32*part+32]
		s0, s1 := d*float32(int8(scales[2*part])), d*float32(int8(scales[2*part+1]))
		for i := range out {
			q := int(nibbles[at+i]>>shift&0xf) | int(pairs[pairAt+i]>>pairShift&3)<<4
			s := s0
			if i >= 16 {
				s = s1
			}
			out[i] = s * float32(q-32)
		}
	}
}

package quant

import "encoding/binary"

// Every product below is rounded by a conversion before it is added to: the language lets a compiler fuse the two,
// and the results must not depend on the machine.

// blockQ80: half scale d, 32 int8 q. Value d·q.
func blockQ80(dst []float32, b []byte) {
	d := half(b)
	for i, q := range b[2:34] {
		dst[i] = d * float32(int8(q))
	}
}

// blockQ40: half scale d, 16 bytes whose low nibbles are the first 16 values and whose high nibbles the last 16.
// Value d·(q−8).
func blockQ40(dst []float32, b []byte) {
	d := half(b)
	for i, q := range b[2:18] {
		dst[i] = d * float32(int(q&0xf)-8)
		dst[i+16] = d * float32(int(q>>4)-8)
	}
}

// blockQ41: half scale d, half minimum m, nibbles as in Q4_0. Value d·q + m.
func blockQ41(dst []float32, b []byte) {
	d, m := half(b), half(b[2:])
	for i, q := range b[4:20] {
		dst[i] = float32(d*float32(q&0xf)) + m
		dst[i+16] = float32(d*float32(q>>4)) + m
	}
}

// blockQ50: half scale d, 32 fifth bits, nibbles as in Q4_0. Value d·(q−16).
func blockQ50(dst []float32, b []byte) {
	d, high := half(b), binary.LittleEndian.Uint32(b[2:])
	for i, q := range b[6:22] {
		dst[i] = d * float32(int(fifth(q&0xf, high>>i))-16)
		dst[i+16] = d * float32(int(fifth(q>>4, high>>(i+16)))-16)
	}
}

// blockQ51: half scale d, half minimum m, 32 fifth bits, nibbles as in Q4_0. Value d·q + m.
func blockQ51(dst []float32, b []byte) {
	d, m, high := half(b), half(b[2:]), binary.LittleEndian.Uint32(b[4:])
	for i, q := range b[8:24] {
		dst[i] = float32(d*float32(fifth(q&0xf, high>>i))) + m
		dst[i+16] = float32(d*float32(fifth(q>>4, high>>(i+16)))) + m
	}
}

// fifth puts the lowest bit of high above the nibble q.
func fifth(q byte, high uint32) byte { return q | byte(high&1)<<4 }

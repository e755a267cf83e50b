package sampling

import "math/bits"

// uniform is the random number in [0, 1) for the token at a position of an output, 53 bits of it. It depends on its
// arguments alone. Output i of seed s draws what output 0 of seed s+i draws.
//
// The generator is Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3"
// (SC11): a bijection of a 128-bit counter (here the position) under a 64-bit key (seed + output index).
func uniform(seed uint64, output, position int) float64 {
	key := seed + uint64(output)
	ctr := philox([4]uint32{uint32(position), uint32(uint64(position) >> 32)}, [2]uint32{uint32(key), uint32(key >> 32)})
	return float64((uint64(ctr[1])<<32|uint64(ctr[0]))>>11) * 0x1p-53
}

// philox is Philox4x32 with ten rounds.
func philox(ctr [4]uint32, key [2]uint32) [4]uint32 {
	const (
		multiplier0, multiplier1 = 0xD2511F53, 0xCD9E8D57
		weyl0, weyl1             = 0x9E3779B9, 0xBB67AE85
		rounds                   = 10
	)
	for range rounds {
		hi0, lo0 := bits.Mul32(multiplier0, ctr[0])
		hi1, lo1 := bits.Mul32(multiplier1, ctr[2])
		ctr = [4]uint32{hi1 ^ ctr[1] ^ key[0], lo1, hi0 ^ ctr[3] ^ key[1], lo0}
		key[0] += weyl0
		key[1] += weyl1
	}
	return ctr
}

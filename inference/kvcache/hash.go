package kvcache

import "math/bits"

// BlockSize is the number of prompt tokens in a block of the prefix store. Only whole blocks are stored, so that up to
// a block of a prompt's end is computed each time; a smaller block costs more bookkeeping and makes the copies shorter
// than a page of memory.
const BlockSize = 16

// Hash names a block of a prompt together with everything before it: two blocks of one hash are almost certainly the
// same block of the same prefix. Almost: [Prefix] compares the tokens themselves before it believes a hash.
type Hash uint64

// Hashes appends the hashes of the whole blocks of a prompt to dst, in order. Each depends on the salt and on all
// tokens up to its block's end.
func Hashes(dst []Hash, salt string, prompt []uint32) []Hash {
	h := uint64(0x9E3779B97F4A7C15)
	for i := range len(salt) {
		h = mix(h ^ uint64(salt[i]))
	}
	last := Hash(h)
	for len(prompt) >= BlockSize {
		last = last.Next(prompt)
		dst = append(dst, last)
		prompt = prompt[BlockSize:]
	}
	return dst
}

// Next is the hash of the block behind one, which begins tokens.
func (h Hash) Next(tokens []uint32) Hash {
	next := uint64(h)
	for _, token := range tokens[:BlockSize] {
		next = mix(next ^ uint64(token))
	}
	return Hash(next)
}

// mix spreads the bits of h: both halves of a product with an odd constant, as in wyhash and in Go's own maps.
func mix(h uint64) uint64 {
	high, low := bits.Mul64(h^0xA0761D6478BD642F, 0xE7037ED1A0B428DB)
	return high ^ low
}

package bpe

import "math/bits"

const (
	// cacheSlots is the size of the word cache: 2 MiB for each Scratch, which the second-level caches of today hold.
	cacheSlots = 1 << 15
	// maxCached is the length in bytes of the longest word that the cache can hold.
	maxCached = 32
	// maxCachedIDs is the number of tokens of a word that the cache can hold.
	maxCachedIDs = 7
)

// cacheSlot is one cache line: a word's bytes (see keyOf), and its tokens.
type cacheSlot struct {
	key key
	ids [maxCachedIDs]uint32
	len uint8 // of the word, with isPiece for a piece; 0: free
	n   uint8 // of the tokens
}

// set notes the tokens of a word, if they are not too many.
func (s *cacheSlot) set(k *key, length int, ids []uint32) {
	if len(ids) <= maxCachedIDs {
		s.key, s.len = *k, uint8(length)
		s.n = uint8(copy(s.ids[:], ids))
	}
}

// key holds the bytes of a word of at most maxCached bytes: together with the length it determines the word.
type key [4]uint64

// keyOf loads a word of 1 to maxCached bytes. The parts overlap where the length is not a multiple of eight.
func keyOf(w string) key {
	n := len(w)
	switch {
	case n > 16:
		return key{load64(w), load64(w[8:]), load64(w[n-16:]), load64(w[n-8:])}
	case n >= 8:
		return key{load64(w), load64(w[n-8:])}
	case n >= 4:
		return key{uint64(load32(w)) | uint64(load32(w[n-4:]))<<32}
	}
	return key{uint64(w[0]) | uint64(w[n>>1])<<8 | uint64(w[n-1])<<16}
}

// hash mixes a key and the length of its word into 64 bits.
func (k *key) hash(n int) uint64 {
	const m1, m2, m3, m4 = 0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3, 0x589965cc75374cc3
	hi, lo := bits.Mul64(k[0]^m1, k[1]^m2^uint64(n))
	if n > 16 {
		hi2, lo2 := bits.Mul64(k[2]^m3, k[3]^m4)
		hi, lo = hi^hi2, lo^lo2
	}
	return (hi ^ lo) * m2
}

// hashWord hashes a word of any length; for words of at most maxCached bytes it is keyOf(w).hash(len(w)).
func hashWord(w string) uint64 {
	var h uint64
	n := len(w)
	for len(w) > maxCached {
		k := keyOf(w[:maxCached])
		h = (h ^ k.hash(n)) * 0xff51afd7ed558ccd
		w = w[maxCached:]
	}
	k := keyOf(w)
	return h ^ k.hash(len(w))
}

func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func load32(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

package bpe

import "math/bits"

// A Scratch remembers the tokens of words. Most words are short and make few tokens, so there are two caches: one with
// two such words to a cache line, which is what the processor's own caches hold most of, and a smaller one for the rest.
// Nearly every word that a text repeats is found in one of them, and one line of memory is all that it takes.
const (
	// cacheSets is the size of the cache of short words: 4 MiB.
	cacheSets = 1 << 16
	// maxShortWord is the length in bytes of the longest word in it.
	maxShortWord = 16
	// maxShortIDs is the number of tokens of a word in it.
	maxShortIDs = 4
	// idBits is the width of a token in it.
	idBits = 24

	// longSlots is the size of the cache of other words: 512 KiB.
	longSlots = 1 << 13
	// maxCached is the length in bytes of the longest word in it.
	maxCached = 32
	// maxLongIDs is the number of tokens of a word in it.
	maxLongIDs = 7
)

// shortSlot is half a cache line: a word's bytes and its tokens. The upper bytes of the first two ids hold the length
// of the word, which is 0 if the slot is free and has isPiece set for a piece, and the number of tokens.
type shortSlot struct {
	key key
	ids [maxShortIDs]uint32
}

// shortSet is a cache line: two words whose hashes are alike, the later one first.
type shortSet [2]shortSlot

// find returns the slot of a word, or nil.
func (s *shortSet) find(k key, tag int) *shortSlot {
	if s[0].key == k && int(s[0].ids[0]>>idBits) == tag {
		return &s[0]
	}
	if s[1].key == k && int(s[1].ids[0]>>idBits) == tag {
		return &s[1]
	}
	return nil
}

// add notes the tokens of a word, if they are few enough and have small ids, and drops the older word of the two.
func (s *shortSet) add(k key, tag int, ids []uint32) {
	if len(ids) > maxShortIDs {
		return
	}
	slot := shortSlot{key: k}
	for i, id := range ids {
		if id >= 1<<idBits {
			return
		}
		slot.ids[i] = id
	}
	slot.ids[0] |= uint32(tag) << idBits
	slot.ids[1] |= uint32(len(ids)) << idBits
	s[1] = s[0]
	s[0] = slot
}

// appendTo appends the tokens. All four are written, and those that are none lie beyond the end.
func (s *shortSlot) appendTo(dst []uint32) []uint32 {
	const mask = 1<<idBits - 1
	n := len(dst)
	if cap(dst)-n < maxShortIDs {
		dst = append(dst, 0, 0, 0, 0)[:n]
	}
	out := dst[n : n+maxShortIDs]
	out[0], out[1], out[2], out[3] = s.ids[0]&mask, s.ids[1]&mask, s.ids[2], s.ids[3]
	return dst[:n+int(s.ids[1]>>idBits)]
}

// longSlot is a cache line: a word's bytes, and its tokens.
type longSlot struct {
	key longKey
	ids [maxLongIDs]uint32
	tag uint8 // as in a shortSlot
	n   uint8 // of the tokens
}

// add notes the tokens of a word, if they are not too many.
func (s *longSlot) add(k *longKey, tag int, ids []uint32) {
	if len(ids) <= maxLongIDs {
		s.key, s.tag = *k, uint8(tag)
		s.n = uint8(copy(s.ids[:], ids))
	}
}

// key holds the bytes of a word of at most maxShortWord bytes, and zeros after them: with the length it determines the
// word.
type key struct{ low, high uint64 }

// keyOf loads a word of 1 to maxShortWord bytes. Of what is loaded twice both are equal.
func keyOf(w string) key {
	n := len(w)
	switch {
	case n > 8:
		return key{load64(w), load64(w[n-8:]) >> (8 * (maxShortWord - n))}
	case n == 8:
		return key{low: load64(w)}
	case n >= 4:
		return key{low: uint64(load32(w)) | uint64(load32(w[n-4:]))<<(8*(n-4))}
	}
	return key{low: uint64(w[0]) | uint64(w[n>>1])<<(8*(n>>1)) | uint64(w[n-1])<<(8*(n-1))}
}

// keyAt is keyOf for a word of a text. Where the text is long enough it loads what comes after the word too and masks
// it, which needs no branches.
func keyAt(text string, pos, n int) key {
	if len(text)-pos < maxShortWord {
		return keyOf(text[pos : pos+n])
	}
	text = text[pos : pos+maxShortWord]
	return key{load64(text) & (1<<(8*uint(n)) - 1), load64(text[8:]) & (1<<(8*uint(max(n-8, 0))) - 1)}
}

const mix1, mix2, mix3, mix4 = 0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3, 0x589965cc75374cc3

// hash mixes a key and the length of its word, or its tag, into 64 bits.
func (k key) hash(n int) uint64 {
	hi, lo := bits.Mul64(k.low^mix1, k.high^mix2^uint64(n))
	return (hi ^ lo) * mix2
}

// longKey holds the bytes of a word of more than maxShortWord and at most maxCached bytes. The parts overlap.
type longKey [4]uint64

func longKeyOf(w string) longKey {
	n := len(w)
	return longKey{load64(w), load64(w[8:]), load64(w[n-16:]), load64(w[n-8:])}
}

func (k *longKey) hash(n int) uint64 {
	hi, lo := bits.Mul64(k[0]^mix1, k[1]^mix2^uint64(n))
	hi2, lo2 := bits.Mul64(k[2]^mix3, k[3]^mix4)
	return (hi ^ hi2 ^ lo ^ lo2) * mix2
}

// hashLong hashes a word of more than maxShortWord bytes.
func hashLong(w string) uint64 {
	var h uint64
	n := len(w)
	for len(w) > maxCached {
		k := longKeyOf(w[:maxCached])
		h = (h ^ k.hash(n)) * 0xff51afd7ed558ccd
		w = w[maxCached:]
	}
	if len(w) > maxShortWord {
		k := longKeyOf(w)
		return h ^ k.hash(n)
	}
	return h ^ keyOf(w).hash(n)
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

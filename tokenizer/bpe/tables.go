package bpe

import "math/bits"

// pairTable maps a pair of symbols to the rank of its merge: open addressing, at most half full, so that a look-up
// takes one probe in most cases. Zero is the empty key: the pair (0, 0) is kept beside it.
type pairTable struct {
	slots []pairSlot
	shift uint8
	zero  uint32 // the rank of (0, 0), or None
}

type pairSlot struct {
	key  uint64
	rank uint32
}

func newPairTable(n int) pairTable {
	size := bits.Len(uint(max(2*n, 2) - 1))
	return pairTable{slots: make([]pairSlot, 1<<size), shift: uint8(64 - size), zero: None}
}

// set adds or replaces the rank of a pair.
func (t *pairTable) set(left, right, rank uint32) {
	key := uint64(left)<<32 | uint64(right)
	if key == 0 {
		t.zero = rank
		return
	}
	for i := mix(key) >> t.shift; ; i = (i + 1) & uint64(len(t.slots)-1) {
		if s := &t.slots[i]; s.key == key || s.key == 0 {
			*s = pairSlot{key: key, rank: rank}
			return
		}
	}
}

// rank returns the rank of a pair, or None.
func (t *pairTable) rank(left, right uint32) uint32 {
	key := uint64(left)<<32 | uint64(right)
	if key == 0 {
		return t.zero
	}
	for i := mix(key) >> t.shift; ; i = (i + 1) & uint64(len(t.slots)-1) {
		if s := &t.slots[i]; s.key == key {
			return s.rank
		} else if s.key == 0 {
			return None
		}
	}
}

// mix spreads the bits of a key over the upper half (Fibonacci hashing with a fold, so that both symbols count).
func mix(key uint64) uint64 {
	hi, lo := bits.Mul64(key^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	return (hi ^ lo) * 0x9e3779b97f4a7c15
}

// wordTable maps the bytes of whole words to their tokens: open addressing, at most half full.
type wordTable struct {
	slots []wordSlot
	shift uint8
}

type wordSlot struct {
	hash uint32
	id   uint32
	text string // empty: free
}

func newWordTable(words []Word, keep func(Word) bool) wordTable {
	size := bits.Len(uint(max(2*len(words), 2) - 1))
	t := wordTable{slots: make([]wordSlot, 1<<size), shift: uint8(64 - size)}
	for _, w := range words {
		if w.Text == "" || !keep(w) {
			continue
		}
		hash := hashWord(w.Text)
		for i := hash >> t.shift; ; i = (i + 1) & uint64(len(t.slots)-1) {
			if s := &t.slots[i]; s.text == "" || s.text == w.Text {
				*s = wordSlot{hash: uint32(hash), id: w.ID, text: w.Text}
				break
			}
		}
	}
	return t
}

// find returns the token of a word, or None.
func (t *wordTable) find(hash uint64, text string) uint32 {
	for i := hash >> t.shift; ; i = (i + 1) & uint64(len(t.slots)-1) {
		s := &t.slots[i]
		if s.hash == uint32(hash) && s.text == text {
			return s.id
		}
		if s.text == "" {
			return None
		}
	}
}

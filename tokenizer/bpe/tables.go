package bpe

import "math/bits"

// pairTable maps a pair of symbols to the rank of its merge: open addressing, at most two thirds full, so that a
// look-up takes one or two probes in most cases. A slot without a rank is free.
type pairTable struct {
	slots []pairSlot
	shift uint8
}

type pairSlot struct{ left, right, rank uint32 }

func newPairTable(n int) pairTable {
	size := bits.Len(uint(max(n+n/2, 2) - 1))
	t := pairTable{slots: make([]pairSlot, 1<<size), shift: uint8(64 - size)}
	for i := range t.slots {
		t.slots[i].rank = None
	}
	return t
}

// set adds or replaces the rank of a pair.
func (t *pairTable) set(left, right, rank uint32) {
	for i := mix(left, right) >> t.shift; ; i = (i + 1) & uint64(len(t.slots)-1) {
		if s := &t.slots[i]; s.rank == None || (s.left == left && s.right == right) {
			*s = pairSlot{left: left, right: right, rank: rank}
			return
		}
	}
}

// rank returns the rank of a pair, or None.
func (t *pairTable) rank(left, right uint32) uint32 {
	for i := mix(left, right) >> t.shift; ; i = (i + 1) & uint64(len(t.slots)-1) {
		if s := &t.slots[i]; (s.left == left && s.right == right) || s.rank == None {
			return s.rank
		}
	}
}

// mix spreads the bits of a pair over the upper half (a multiplication with a fold, so that both symbols count).
func mix(left, right uint32) uint64 {
	hi, lo := bits.Mul64((uint64(left)<<32|uint64(right))^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	return (hi ^ lo) * 0x9e3779b97f4a7c15
}

// wordTable maps the bytes of whole words to their tokens: open addressing, at most half full.
type wordTable struct {
	slots []wordSlot
	shift uint8
	// longest is the length in bytes of the longest word.
	longest int
}

type wordSlot struct {
	hash uint32
	id   uint32
	text string // empty: free
}

func newWordTable(words []Word, kept []bool) wordTable {
	size := bits.Len(uint(max(2*len(words), 2) - 1))
	t := wordTable{slots: make([]wordSlot, 1<<size), shift: uint8(64 - size)}
	for i, w := range words {
		if w.Text == "" || (kept != nil && !kept[i]) {
			continue
		}
		t.longest = max(t.longest, len(w.Text))
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

package bpe

import "math/bits"

// pairTable maps a pair of symbols to the rank of its merge: open addressing, at most two thirds full, so that a
// look-up takes one or two probes in most cases. A vocabulary's table is larger than the processor's caches, and half
// of all look-ups find nothing, so a filter that is small enough for them is asked first.
type pairTable struct {
	filter []uint64 // a bit for each pair, of four times as many
	// Slots of one number hold both symbols and the rank in it, and are tried first. Vocabularies whose numbers are too
	// large have the others.
	packed []uint64 // free: all bits are set
	wide   []pairSlot

	symbolBits, rankBits uint8
	shift, filterShift   uint8
}

type pairSlot struct{ left, right, rank uint32 }

// free is the packed slot without a pair.
const free = 1<<64 - 1

// newPairTable makes a table for n pairs of symbols and ranks up to the given ones.
func newPairTable(n int, symbol, rank uint32) pairTable {
	size := bits.Len(uint(max(n+n/2, 2) - 1))
	filter := max(bits.Len(uint(max(n, 2)-1))+2, 6)
	t := pairTable{
		filter:      make([]uint64, 1<<(filter-6)),
		symbolBits:  uint8(bits.Len32(symbol)),
		rankBits:    uint8(bits.Len32(rank)),
		shift:       uint8(64 - size),
		filterShift: uint8(64 - filter),
	}
	if 2*t.symbolBits+t.rankBits < 64 {
		t.packed = make([]uint64, 1<<size)
		for i := range t.packed {
			t.packed[i] = free
		}
		return t
	}
	t.wide = make([]pairSlot, 1<<size)
	for i := range t.wide {
		t.wide[i].rank = None
	}
	return t
}

// set adds or replaces the rank of a pair.
func (t *pairTable) set(left, right, rank uint32) {
	hash := mix(left, right)
	bit := hash >> t.filterShift
	t.filter[bit>>6] |= 1 << (bit & 63)
	if t.packed != nil {
		pair := uint64(left)<<t.symbolBits | uint64(right)
		i := hash >> t.shift
		for t.packed[i] != free && t.packed[i]>>t.rankBits != pair {
			i = (i + 1) & uint64(len(t.packed)-1)
		}
		t.packed[i] = pair<<t.rankBits | uint64(rank)
		return
	}
	for i := hash >> t.shift; ; i = (i + 1) & uint64(len(t.wide)-1) {
		if s := &t.wide[i]; s.rank == None || (s.left == left && s.right == right) {
			*s = pairSlot{left: left, right: right, rank: rank}
			return
		}
	}
}

// rank returns the rank of a pair, or None.
func (t *pairTable) rank(left, right uint32) uint32 {
	hash := mix(left, right)
	bit := hash >> t.filterShift
	if t.filter[bit>>6]>>(bit&63)&1 == 0 {
		return None
	}
	return t.find(hash, left, right)
}

func (t *pairTable) find(hash uint64, left, right uint32) uint32 {
	if t.packed != nil {
		pair := uint64(left)<<t.symbolBits | uint64(right)
		for i := hash >> t.shift; ; i = (i + 1) & uint64(len(t.packed)-1) {
			switch s := t.packed[i]; {
			case s>>t.rankBits == pair:
				return uint32(s) & (1<<t.rankBits - 1)
			case s == free:
				return None
			}
		}
	}
	for i := hash >> t.shift; ; i = (i + 1) & uint64(len(t.wide)-1) {
		if s := &t.wide[i]; (s.left == left && s.right == right) || s.rank == None {
			return s.rank
		}
	}
}

// mix spreads the bits of a pair over the upper half (a multiplication with a fold, so that both symbols count).
func mix(left, right uint32) uint64 {
	hi, lo := bits.Mul64((uint64(left)<<32|uint64(right))^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	return (hi ^ lo) * 0x9e3779b97f4a7c15
}

// wordTable maps the bytes of whole words to their tokens: open addressing, at most half full. The short words lie in
// the table themselves.
type wordTable struct {
	short      []wordSlot
	shortShift uint8
	long       []longWord
	longShift  uint8
	longEnds   Filter // what the long words begin and end with
	// longest is the length in bytes of the longest word.
	longest int
}

type wordSlot struct {
	key key
	id  uint32
	len uint32 // 0: free
}

type longWord struct {
	hash uint32
	id   uint32
	text string // empty: free
}

func newWordTable(words []Word, kept []bool) wordTable {
	short, long := 0, 0
	for i, w := range words {
		switch {
		case w.Text == "" || (kept != nil && !kept[i]):
		case len(w.Text) <= maxShortWord:
			short++
		default:
			long++
		}
	}
	size := func(n int) int { return bits.Len(uint(max(2*n, 2) - 1)) }
	t := wordTable{
		short: make([]wordSlot, 1<<size(short)), shortShift: uint8(64 - size(short)),
		long: make([]longWord, 1<<size(long)), longShift: uint8(64 - size(long)),
		longEnds: NewFilter(long),
	}
	for i, w := range words {
		if w.Text != "" && (kept == nil || kept[i]) {
			t.longest = max(t.longest, len(w.Text))
			t.set(w)
		}
	}
	return t
}

// set adds a word, or replaces its token.
func (t *wordTable) set(w Word) {
	n := len(w.Text)
	if n <= maxShortWord {
		k := keyOf(w.Text)
		for i := k.hash(n) >> t.shortShift; ; i = (i + 1) & uint64(len(t.short)-1) {
			if s := &t.short[i]; s.len == 0 || (s.key == k && int(s.len) == n) {
				*s = wordSlot{key: k, id: w.ID, len: uint32(n)}
				return
			}
		}
	}
	t.longEnds.Add(load32(w.Text), load32(w.Text[n-4:]))
	hash := hashLong(w.Text)
	for i := hash >> t.longShift; ; i = (i + 1) & uint64(len(t.long)-1) {
		if s := &t.long[i]; s.text == "" || s.text == w.Text {
			*s = longWord{hash: uint32(hash), id: w.ID, text: w.Text}
			return
		}
	}
}

// findShort returns the token of a word of at most maxShortWord bytes, or None.
func (t *wordTable) findShort(hash uint64, k key, n int) uint32 {
	for i := hash >> t.shortShift; ; i = (i + 1) & uint64(len(t.short)-1) {
		s := &t.short[i]
		if s.key == k && int(s.len) == n {
			return s.id
		}
		if s.len == 0 {
			return None
		}
	}
}

// findAny returns the token of a word of more than maxShortWord bytes, or None. Few are hashed in vain.
func (t *wordTable) findAny(text string) uint32 {
	if len(text) > t.longest || !t.longEnds.Has(load32(text), load32(text[len(text)-4:])) {
		return None
	}
	return t.findLong(hashLong(text), text)
}

// findLong returns the token of a longer word, or None.
func (t *wordTable) findLong(hash uint64, text string) uint32 {
	for i := hash >> t.longShift; ; i = (i + 1) & uint64(len(t.long)-1) {
		s := &t.long[i]
		if s.hash == uint32(hash) && s.text == text {
			return s.id
		}
		if s.text == "" {
			return None
		}
	}
}

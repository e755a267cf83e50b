package bpe

import "slices"

// maxShort is the length in symbols of the longest word that is merged by scans. Up to there the scans are faster
// than the heap, and quadratic only in this constant.
const maxShort = 48

// maxHeap is the length in symbols of the longest word that is merged at once, see windows.go.
const maxHeap = 2 * windowSize

// maxKept is the length in symbols of the longest word whose buffers a Scratch keeps (24 bytes a symbol).
const maxKept = 1 << 16

// Scratch holds the buffers of one encoding goroutine and its word caches, which are bounded (4.5 MiB). It serves one
// model, and is not safe for concurrent use. The zero value is ready, and has no caches.
type Scratch struct {
	short   []shortSet
	long    []longSlot
	symbols []uint32
	ranks   []uint32
	batch   batch // of words
	parts   batch // of pieces of a word
	// The linked list and the heap of the long words.
	prev, next []int32
	heap       []uint64
	part       []uint32 // of the symbols of a very long one
	windows    [2]window
}

// NewScratch returns a Scratch with word caches.
func NewScratch() *Scratch {
	return &Scratch{short: make([]shortSet, cacheSets), long: make([]longSlot, longSlots)}
}

// Append encodes a word and appends its tokens. The words of a text are encoded one after another, each by itself. What
// lies in dst's memory beyond what is returned may be overwritten.
func (m *Model) Append(dst []uint32, word string, s *Scratch) []uint32 {
	switch n := len(word); {
	case n == 0:
		return dst
	case n <= maxShortWord:
		k := keyOf(word)
		return m.appendShort(dst, word, k, k.hash(n), s)
	default:
		return m.appendLong(dst, word, s)
	}
}

// appendShort encodes a word of at most maxShortWord bytes.
func (m *Model) appendShort(dst []uint32, word string, k key, hash uint64, s *Scratch) []uint32 {
	n := len(word)
	if len(s.short) == 0 {
		if id := m.words.findShort(hash, k, n); id != None {
			return append(dst, id)
		}
		return m.pieces(dst, word, s)
	}
	set := &s.short[hash&uint64(len(s.short)-1)]
	if slot := set.find(k, n); slot != nil {
		return slot.appendTo(dst)
	}
	before := len(dst)
	if id := m.words.findShort(hash, k, n); id != None {
		dst = append(dst, id)
	} else {
		dst = m.pieces(dst, word, s)
	}
	set.add(k, n, dst[before:])
	return dst
}

// appendLong encodes a longer word. One that can be cut is not cached whole: its pieces are.
func (m *Model) appendLong(dst []uint32, word string, s *Scratch) []uint32 {
	n := len(word)
	cut := m.cuts != nil && len(s.short) > 0 && m.cuts.next(word, 0) < n
	if cut || n > maxCached || len(s.long) == 0 {
		if m.ignoreMerges || !cut { // else it is no token, since its pieces are never joined
			if id := m.words.findAny(word); id != None {
				return append(dst, id)
			}
		}
		return m.pieces(dst, word, s)
	}
	k := longKeyOf(word)
	hash := k.hash(n)
	slot := &s.long[hash&uint64(len(s.long)-1)]
	if slot.key == k && int(slot.tag) == n {
		return append(dst, slot.ids[:slot.n]...)
	}
	before := len(dst)
	if id := m.words.findLong(hash, word); id != None {
		dst = append(dst, id)
	} else {
		dst = m.pieces(dst, word, s)
	}
	slot.add(&k, n, dst[before:])
	return dst
}

// isPiece marks the length of a cached piece of a model that ignores merges: there, what a word is at once need not be
// what its merges make of it, and only that counts for a piece.
const isPiece = 1 << 7

// pieces encodes a word by its merges alone, piece by piece if it can be cut.
func (m *Model) pieces(dst []uint32, word string, s *Scratch) []uint32 {
	if m.cuts == nil || len(word) <= cutsOver || len(s.short) == 0 {
		return m.merge(dst, word, s)
	}
	tag := 0
	if m.ignoreMerges {
		tag = isPiece
	}
	var ends [BatchSize]int
	for start := 0; start < len(word); {
		n, pos := 0, start
		for n < len(ends) && pos < len(word) {
			pos = m.cuts.next(word, pos)
			ends[n] = pos
			n++
		}
		if n == 1 && pos-start == len(word) {
			return m.merge(dst, word, s)
		}
		s.look(&s.parts, m, word, start, ends[:n], tag)
		for i, end := range ends[:n] {
			switch piece := word[start:end]; {
			case len(piece) <= maxShortWord:
				dst = m.shortPiece(dst, piece, tag, s.parts.keys[i], s.parts.hashes[i], s)
			case len(piece) <= maxCached:
				dst = m.longPiece(dst, piece, tag, s)
			default:
				dst = m.merge(dst, piece, s)
			}
			start = end
		}
	}
	return dst
}

// shortPiece encodes a piece of at most maxShortWord bytes.
func (m *Model) shortPiece(dst []uint32, piece string, tag int, k key, hash uint64, s *Scratch) []uint32 {
	tag |= len(piece)
	set := &s.short[hash&uint64(len(s.short)-1)]
	if slot := set.find(k, tag); slot != nil {
		return slot.appendTo(dst)
	}
	before := len(dst)
	id := uint32(None)
	if !m.ignoreMerges {
		id = m.words.findShort(hash, k, len(piece))
	}
	if id != None {
		dst = append(dst, id)
	} else {
		dst = m.merge(dst, piece, s)
	}
	set.add(k, tag, dst[before:])
	return dst
}

// longPiece encodes a longer piece that the cache can hold.
func (m *Model) longPiece(dst []uint32, piece string, tag int, s *Scratch) []uint32 {
	tag |= len(piece)
	k := longKeyOf(piece)
	hash := k.hash(tag)
	slot := &s.long[hash&uint64(len(s.long)-1)]
	if slot.key == k && int(slot.tag) == tag {
		return append(dst, slot.ids[:slot.n]...)
	}
	before := len(dst)
	id := uint32(None)
	if !m.ignoreMerges {
		id = m.words.findLong(hash, piece)
	}
	if id != None {
		dst = append(dst, id)
	} else {
		dst = m.merge(dst, piece, s)
	}
	slot.add(&k, tag, dst[before:])
	return dst
}

// merge encodes a word by its merges alone.
func (m *Model) merge(dst []uint32, word string, s *Scratch) []uint32 {
	if m.characters != nil && len(word) <= maxCached {
		var ok bool
		s.symbols, s.ranks, ok = m.appendCharacters(s.symbols[:0], s.ranks[:0], word)
		if ok {
			return append(dst, m.mergeShort(s.symbols, s.ranks)...)
		}
	}
	s.symbols = m.appendSymbols(s.symbols[:0], word)
	if n := len(s.symbols); n <= maxShort {
		s.ranks = s.ranks[:0]
		if n == len(word) && m.pairs != nil {
			for i := 1; i < n; i++ {
				s.ranks = append(s.ranks, m.pairs[int(word[i-1])<<8|int(word[i])])
			}
		} else {
			for i := 1; i < n; i++ {
				s.ranks = append(s.ranks, m.ranks.rank(s.symbols[i-1], s.symbols[i]))
			}
		}
		return append(dst, m.mergeShort(s.symbols, s.ranks)...)
	}
	if len(s.symbols) <= maxHeap {
		return m.mergeLong(dst, s)
	}
	dst = m.mergeWindows(dst, s.symbols, s)
	s.shrink()
	return dst
}

// appendSymbols appends the first symbols of a word.
func (m *Model) appendSymbols(dst []uint32, word string) []uint32 {
	dst = slices.Grow(dst, len(word))
	if m.symbols != nil {
		return m.symbols(dst, word)
	}
	fused := false
	for i := range len(word) {
		id := m.bytes[word[i]]
		if id != None {
			dst = append(dst, id)
			fused = false
			continue
		}
		if m.unknown == None || (fused && m.fuseUnknown) {
			continue
		}
		dst = append(dst, m.unknown)
		fused = true
	}
	return dst
}

// mergeShort merges in place: each round finds the lowest rank by a scan. The rank of a pair is kept with its left
// symbol, so a merge looks up two pairs.
func (m *Model) mergeShort(symbols, ranks []uint32) []uint32 {
	for len(ranks) > 0 {
		at, best := 0, ranks[0]
		for i, r := range ranks {
			if r < best {
				at, best = i, r
			}
		}
		if best == None {
			break
		}
		symbols[at] = m.into[best]
		symbols = append(symbols[:at+1], symbols[at+2:]...)
		ranks = append(ranks[:at], ranks[at+1:]...)
		if at < len(ranks) {
			ranks[at] = m.ranks.rank(symbols[at], symbols[at+1])
		}
		if at > 0 {
			ranks[at-1] = m.ranks.rank(symbols[at-1], symbols[at])
		}
	}
	return symbols
}

// mergeLong merges s.symbols.
func (m *Model) mergeLong(dst []uint32, s *Scratch) []uint32 {
	s.grow(len(s.symbols))
	m.mergeList(s.symbols, s)
	for i := int32(0); int(i) < len(s.symbols); i = s.next[i] {
		dst = append(dst, s.symbols[i])
	}
	return dst
}

// mergeList merges symbols through a heap of (rank, position) over a linked list: O(n log n). An entry of the heap is
// out of date if the rank noted for its position has changed; a rank makes one token only. What is left of the symbols
// are those that s.next leads to from the first on. The Scratch must have grown to their number.
func (m *Model) mergeList(symbols []uint32, s *Scratch) {
	n := len(symbols)
	ranks, prev, next := s.ranks[:n], s.prev[:n], s.next[:n]
	heap := s.heap[:0]
	for i := range n {
		prev[i], next[i] = int32(i-1), int32(i+1)
		ranks[i] = None
		if i+1 < n {
			if r := m.ranks.rank(symbols[i], symbols[i+1]); r != None {
				ranks[i] = r
				heap = append(heap, uint64(r)<<32|uint64(i))
			}
		}
	}
	heapify(heap)
	for len(heap) > 0 {
		top := heap[0]
		at, rank := int32(uint32(top)), uint32(top>>32)
		if ranks[at] != rank {
			heap = pop(heap)
			continue
		}
		right := next[at]
		after := next[right]
		symbols[at] = m.into[rank]
		ranks[right] = None
		next[at] = after
		fresh := [2]uint64{}
		k := 0
		ranks[at] = None
		if int(after) < n {
			prev[after] = at
			if r := m.ranks.rank(symbols[at], symbols[after]); r != None {
				ranks[at] = r
				fresh[k] = uint64(r)<<32 | uint64(at)
				k++
			}
		}
		if p := prev[at]; p >= 0 {
			r := m.ranks.rank(symbols[p], symbols[at])
			if r != None && r != ranks[p] {
				fresh[k] = uint64(r)<<32 | uint64(p)
				k++
			}
			ranks[p] = r
		}
		switch k {
		case 0:
			heap = pop(heap)
		case 1:
			replaceTop(heap, fresh[0])
		case 2:
			replaceTop(heap, fresh[0])
			heap = push(heap, fresh[1])
		}
	}
	s.heap = heap[:0]
}

// grow makes room for a long word.
func (s *Scratch) grow(n int) {
	if cap(s.ranks) < n {
		s.ranks = make([]uint32, n)
	}
	if cap(s.next) < n {
		s.prev, s.next = make([]int32, n), make([]int32, n)
	}
	if cap(s.part) < n {
		s.part = make([]uint32, n)
	}
}

// shrink drops the buffers of a word so long that few others need them.
func (s *Scratch) shrink() {
	if cap(s.symbols) > maxKept {
		s.symbols, s.ranks, s.prev, s.next, s.heap, s.part = nil, nil, nil, nil, nil, nil
	}
}

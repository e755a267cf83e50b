package bpe

// A very long word is merged window by window, each small enough for the fastest memory: so a run of a million letters
// costs about as much for each byte as a thousand do, where one pass over all of it would wait for memory at each merge.
//
// What makes that exact: tokens t1 … tn are what the merges make of a word if, and only if, any two neighbours are what
// the merges make of those two alone. For as long as nothing was merged over a border, the pairs on both sides of it are
// merged in the order in which they would be if there was nothing else; so the first merge over a border would also be
// made between the two tokens at that border alone. Hence parts of what the merges make of two windows fit together if
// the first token of the later window is the one that followed in the earlier window too: then all neighbours were
// neighbours in one of the windows.

const (
	// windowSize is the number of symbols of a window.
	windowSize = 1 << 9
	// windowOverlap is the number of symbols at the end of a window that the next one has too: the end of a window is not
	// the end of the word, and the last tokens before it may be others in the word.
	windowOverlap = 1 << 6
)

// window is what the merges make of a part of a word's symbols.
type window struct {
	start, end int
	ids        []uint32
	starts     []int32 // of the tokens, in symbols from start on
}

// mergeWindows merges the symbols of a very long word.
func (m *Model) mergeWindows(dst, symbols []uint32, s *Scratch) []uint32 {
	size := windowSize
	this, next := &s.windows[0], &s.windows[1]
	m.fill(this, symbols, 0, size, s)
	for this.end < len(symbols) {
		fits := -1
		for limit := size - windowOverlap; limit > size/4 && fits < 0; limit /= 2 {
			at := this.before(limit)
			if at == 0 {
				break
			}
			m.fill(next, symbols, this.start+int(this.starts[at]), windowSize, s)
			if next.ids[0] == this.ids[at] {
				fits = at
			}
		}
		if fits < 0 { // the tokens follow from what stands far away: look further
			size *= 2
			m.fill(this, symbols, this.start, size, s)
			continue
		}
		dst = append(dst, this.ids[:fits]...)
		this, next = next, this
		size = windowSize
	}
	dst = append(dst, this.ids...)
	if cap(this.ids) > maxKept || cap(next.ids) > maxKept {
		s.windows = [2]window{}
	}
	return dst
}

// before returns the last token that begins at one of the first symbols, up to the given one.
func (w *window) before(limit int) int {
	at := len(w.starts) - 1
	for at > 0 && int(w.starts[at]) > limit {
		at--
	}
	return at
}

// fill merges so many symbols from start on.
func (m *Model) fill(w *window, symbols []uint32, start, size int, s *Scratch) {
	w.start, w.end = start, min(start+size, len(symbols))
	n := w.end - start
	s.grow(n)
	part := s.part[:n]
	copy(part, symbols[start:w.end])
	m.mergeList(part, s)
	w.ids, w.starts = w.ids[:0], w.starts[:0]
	for i := int32(0); int(i) < n; i = s.next[i] {
		w.ids = append(w.ids, part[i])
		w.starts = append(w.starts, i)
	}
}

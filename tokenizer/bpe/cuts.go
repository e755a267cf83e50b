package bpe

import "unicode/utf8"

// cuts finds the places between two characters of a word over which nothing is ever merged. A merge that crosses a
// place for the first time joins a symbol that ends there and one that begins there, so it is enough to know, of every
// merge, the last character of its left symbol and the first of its right one: what lies on each side of a place that
// no merge joins is encoded by itself. A sentence without spaces falls into pieces of a few characters, which the
// cache knows, where the whole would be merged anew.
//
// Both sets may say yes too often, which costs speed and nothing else.
type cuts struct {
	joined Filter // pairs of characters
	loose  Filter // last byte and first byte, of merges of symbols that begin or end within those characters
}

// cutsOver is the length in bytes of words up to which cutting does not pay.
const cutsOver = 8

// newCuts returns nil if symbols do not stand for texts of their own: then nothing is known about what merges join.
func newCuts(c *Config) *cuts {
	if c.Symbols != nil {
		return nil
	}
	texts := textsOf(c.Words)
	of := func(id uint32) string {
		if uint64(id) < uint64(len(texts)) {
			return texts[id]
		}
		return ""
	}
	for b, id := range c.Bytes {
		if text := of(id); len(text) != 1 || text[0] != byte(b) {
			return nil
		}
	}
	k := &cuts{joined: NewFilter(len(c.Merges)), loose: NewFilter(len(c.Merges))}
	for _, m := range c.Merges {
		left, right, into := of(m.Left), of(m.Right), of(m.Into)
		if left == "" || right == "" || len(into) != len(left)+len(right) || into[:len(left)] != left || into[len(left):] != right {
			return nil
		}
		if !utf8.RuneStart(right[0]) {
			continue // within a character
		}
		before, beforeWidth := utf8.DecodeLastRuneInString(left)
		after, afterWidth := utf8.DecodeRuneInString(right)
		if (before == utf8.RuneError && beforeWidth == 1) || (after == utf8.RuneError && afterWidth == 1) {
			k.loose.Add(uint32(left[len(left)-1]), uint32(right[0]))
		} else {
			k.joined.Add(uint32(before), uint32(after))
		}
	}
	return k
}

// textsOf lists the texts by token.
func textsOf(words []Word) []string {
	size := uint32(0)
	for _, w := range words {
		if w.ID < 1<<24 {
			size = max(size, w.ID+1)
		}
	}
	texts := make([]string, size)
	for _, w := range words {
		if w.ID < size {
			texts[w.ID] = w.Text
		}
	}
	return texts
}

// next returns the end of the piece that begins at pos. Places between two ASCII characters are not tried: nearly all
// of them are joined.
func (k *cuts) next(word string, pos int) int {
	before, width := utf8.DecodeRuneInString(word[pos:])
	valid := before != utf8.RuneError || width > 1
	for pos += width; pos < len(word); pos += width {
		if before < utf8.RuneSelf && word[pos] < utf8.RuneSelf {
			before, width, valid = rune(word[pos]), 1, true
			continue
		}
		var after rune
		after, width = utf8.DecodeRuneInString(word[pos:])
		ok := after != utf8.RuneError || width > 1
		if valid && ok && !k.joined.Has(uint32(before), uint32(after)) && !k.loose.Has(uint32(word[pos-1]), uint32(word[pos])) {
			return pos
		}
		before, valid = after, ok
	}
	return len(word)
}

// Filter is a set of pairs of numbers that may hold more than was added: one bit for each of 16 times as many.
type Filter struct {
	bits  []uint64
	shift uint8
}

// NewFilter makes a set that n pairs will be added to.
func NewFilter(n int) Filter {
	size := 12
	for 1<<size < 16*n {
		size++
	}
	return Filter{bits: make([]uint64, 1<<(size-6)), shift: uint8(64 - size)}
}

// Add adds a pair.
func (f *Filter) Add(a, b uint32) {
	i := mix(a, b) >> f.shift
	f.bits[i>>6] |= 1 << (i & 63)
}

// Has reports whether a pair was added, or is taken for one that was.
func (f *Filter) Has(a, b uint32) bool {
	i := mix(a, b) >> f.shift
	return f.bits[i>>6]>>(i&63)&1 != 0
}

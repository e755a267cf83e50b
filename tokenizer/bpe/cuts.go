package bpe

import "unicode/utf8"

// cuts finds the places between two characters of a word over which nothing is ever merged. A merge that crosses a
// place for the first time joins a symbol that ends there and one that begins there, so it is enough to know, of every
// merge, the last character of its left symbol and the first of its right one: what lies on each side of a place that
// no merge joins is encoded by itself. A sentence without spaces falls into pieces of a few characters, which the
// cache knows, where the whole would be merged anew.
//
// Both may say yes too often, which costs speed and nothing else.
type cuts struct {
	joined Filter // pairs of characters, but for those of ASCII, which are not asked for
	// loose has a bit for the last byte and the first byte of merges of symbols that begin or end within those
	// characters.
	loose [256][4]uint64
}

// cutsOver is the length in bytes of words up to which cutting does not pay.
const cutsOver = 8

// newCuts returns nil if symbols do not stand for texts of their own: then nothing is known about what merges join.
func newCuts(c *Config, texts []string) *cuts {
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
	k := &cuts{}
	var joined [][2]rune
	for _, m := range c.Merges {
		left, right, into := of(m.Left), of(m.Right), of(m.Into)
		if left == "" || right == "" || len(into) != len(left)+len(right) || into[:len(left)] != left || into[len(left):] != right {
			return nil
		}
		last, first := left[len(left)-1], right[0]
		if !utf8.RuneStart(first) || (last < utf8.RuneSelf && first < utf8.RuneSelf) {
			continue // within a character, or between two of ASCII
		}
		before, beforeWidth := utf8.DecodeLastRuneInString(left)
		after, afterWidth := utf8.DecodeRuneInString(right)
		if (before == utf8.RuneError && beforeWidth == 1) || (after == utf8.RuneError && afterWidth == 1) {
			k.loose[last][first>>6] |= 1 << (first & 63)
		} else {
			joined = append(joined, [2]rune{before, after})
		}
	}
	k.joined = NewFilter(len(joined))
	for _, pair := range joined {
		k.joined.Add(uint32(pair[0]), uint32(pair[1]))
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
	before, width, valid := decode(word, pos)
	for pos += width; pos < len(word); pos += width {
		first := word[pos]
		if before < utf8.RuneSelf && first < utf8.RuneSelf {
			before, width = rune(first), 1
			continue
		}
		after, n, ok := decode(word, pos)
		if valid && ok && k.loose[word[pos-1]][first>>6]>>(first&63)&1 == 0 && !k.joined.Has(uint32(before), uint32(after)) {
			return pos
		}
		before, width, valid = after, n, ok
	}
	return len(word)
}

// decode reads the character at a place of a word, which need not be valid. Most of those that are not ASCII have three
// bytes or two, and are read by hand: package utf8 finds the rest, and what is wrong.
func decode(word string, pos int) (r rune, width int, valid bool) {
	const cont = utf8.RuneSelf // the upper bits of a byte that continues a character: 10
	rest := word[pos:]
	if rest[0] < utf8.RuneSelf {
		return rune(rest[0]), 1, true
	}
	if len(rest) > 2 && rest[0]&0xf0 == 0xe0 && rest[1]&0xc0 == cont && rest[2]&0xc0 == cont {
		r = rune(rest[0]&0xf)<<12 | rune(rest[1]&0x3f)<<6 | rune(rest[2]&0x3f)
		if r >= 0x800 && r&^0x7ff != 0xd800 {
			return r, 3, true
		}
	}
	if len(rest) > 1 && rest[0]&0xe0 == 0xc0 && rest[0] >= 0xc2 && rest[1]&0xc0 == cont {
		return rune(rest[0]&0x1f)<<6 | rune(rest[1]&0x3f), 2, true
	}
	r, width = utf8.DecodeRuneInString(rest)
	return r, width, r != utf8.RuneError || width > 1
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

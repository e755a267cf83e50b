package bpe

import "unicode/utf8"

// characters holds the symbols of whole characters of more than one byte, so that merging a word can begin with them
// and need not make each of its bytes anew. That changes nothing for a character c if
//
//   - the merges alone make one symbol of its bytes,
//   - nothing is ever merged over its borders while it is in parts (cuts.loose says so for each border), and
//   - all merges of symbols that hold c have a higher rank than those that make c.
//
// For then c is whole before any merge with its neighbours comes in turn, and until it is, they would not wait for
// each other: whatever is merged elsewhere before has a lower rank than all merges with c.
type characters [utf8.MaxRune>>8 + 1]*[256]uint32

// newCharacters looks for them among the words. Loose borders are looked at in each word that is merged.
func (m *Model) newCharacters(c *Config, texts []string) *characters {
	k, inner := &characters{}, &characters{} // inner: the highest rank of the merges that make the character
	for _, w := range c.Words {
		r, n := utf8.DecodeRuneInString(w.Text)
		if n != len(w.Text) || n < 2 {
			continue
		}
		if id, rank := m.whole(w.Text); id == w.ID {
			k.set(r, id)
			inner.set(r, rank)
		}
	}
	for i, merge := range c.Merges {
		rank := uint32(i)
		if c.Ranks != nil {
			rank = c.Ranks[i]
		}
		text := texts[merge.Into]
		for pos := 0; pos < len(text); {
			if text[pos] < utf8.RuneSelf {
				pos++
				continue
			}
			r, n := utf8.DecodeRuneInString(text[pos:])
			if n < len(text) && k.of(r) != None && inner.of(r) >= rank {
				k.set(r, None)
			}
			pos += n
		}
	}
	return k
}

func (k *characters) set(r rune, x uint32) {
	page := k[r>>8]
	if page == nil {
		page = new([256]uint32)
		for i := range page {
			page[i] = None
		}
		k[r>>8] = page
	}
	page[r&0xff] = x
}

// of returns the symbol of a character, or None.
func (k *characters) of(r rune) uint32 {
	if page := k[r>>8]; page != nil {
		return page[r&0xff]
	}
	return None
}

// whole returns the one symbol that merges make of a text of a few bytes, and the highest of their ranks, or None.
func (m *Model) whole(text string) (id, highest uint32) {
	var buffer [utf8.UTFMax]uint32
	symbols := buffer[:0]
	for i := range len(text) {
		symbols = append(symbols, m.bytes[text[i]])
	}
	for len(symbols) > 1 {
		at, best := 0, uint32(None)
		for i := range len(symbols) - 1 {
			if r := m.ranks.rank(symbols[i], symbols[i+1]); r < best {
				at, best = i, r
			}
		}
		if best == None {
			return None, None
		}
		highest = max(highest, best)
		symbols[at] = m.into[best]
		symbols = append(symbols[:at+1], symbols[at+2:]...)
	}
	return symbols[0], highest
}

// appendCharacters appends the first symbols of a word, whole characters where that changes nothing, and the ranks of
// their pairs. It reports false, with nothing of use appended, if something is merged over the borders of characters
// in parts.
func (m *Model) appendCharacters(symbols, ranks []uint32, word string) ([]uint32, []uint32, bool) {
	before, single := uint32(None), false // the symbol before, and whether it is that of a byte
	last := byte(0)
	for pos := 0; pos < len(word); {
		first := word[pos]
		if pos > 0 && (last|first) >= utf8.RuneSelf && m.cuts.loose[last][first>>6]>>(first&63)&1 != 0 {
			return symbols, ranks, false
		}
		r, width, valid := decode(word, pos)
		id := uint32(None)
		if width > 1 {
			id = m.characters.of(r)
		} else if !valid {
			return symbols, ranks, false
		}
		if id != None {
			if pos > 0 {
				ranks = append(ranks, m.ranks.rank(before, id))
			}
			symbols = append(symbols, id)
			before, single = id, false
		} else {
			for i := range width {
				b := word[pos+i]
				id = m.bytes[b]
				switch {
				case pos+i == 0:
				case single:
					ranks = append(ranks, m.pairs[int(word[pos+i-1])<<8|int(b)])
				default:
					ranks = append(ranks, m.ranks.rank(before, id))
				}
				symbols = append(symbols, id)
				before, single = id, true
			}
		}
		pos += width
		last = word[pos-1]
	}
	return symbols, ranks, true
}

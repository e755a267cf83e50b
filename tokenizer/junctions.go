package tokenizer

import (
	"slices"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/bpe"
)

// junctions finds places where a text for a model over characters can be cut without changing its tokens. A merge
// joins two tokens, and with them the last character of one and the first of the other. So between two characters that
// no merge joins nothing is ever merged, and what stands on each side is encoded by itself. In vocabularies of the
// SentencePiece kind that is nearly every place before a "▁": a text becomes words, which are short and come again.
type junctions struct {
	symbols *symbols
	joined  bpe.Filter // but for pairs of common characters
	// common says which pairs of ASCII characters and the separator can be parted: a bit for each second one by the first.
	common [commonRunes][(commonRunes + 63) / 64]uint64
	bytes  bool // characters without a token become bytes, each by itself
}

// separator is the character that stands for a space.
const separator = '▁'

// commonRunes is the number of characters that commonRune has a place for.
const commonRunes = utf8.RuneSelf + 1

// commonRune returns the place of a common character.
func commonRune(r rune) (uint, bool) {
	if r == separator {
		return utf8.RuneSelf, true
	}
	return uint(r), r < utf8.RuneSelf
}

// newJunctions returns nil if the model cannot be cut: if its symbols depend on their place in the word, or if merges
// take in tokens that stand for other text than their own.
func newJunctions(d *definition, s *symbols, unknown uint32) *junctions {
	if d.wordPrefix != "" || d.wordSuffix != "" {
		return nil
	}
	opaque := make([]bool, len(d.vocab.tokens))
	if unknown != bpe.None {
		opaque[unknown] = true
	}
	for _, id := range s.bytes {
		if d.byteFallback && id != bpe.None {
			opaque[id] = true
		}
	}
	j := &junctions{symbols: s, bytes: d.byteFallback && !slices.Contains(s.bytes[:], bpe.None)}
	var joined [commonRunes][commonRunes]bool
	var others [][2]rune
	for _, m := range d.merges {
		if opaque[m.Left] || opaque[m.Right] {
			return nil
		}
		left, right := d.vocab.tokens[m.Left].text, d.vocab.tokens[m.Right].text
		if left == "" || right == "" {
			return nil
		}
		before, after := lastRune(left), firstRune(right)
		a, ok1 := commonRune(before)
		b, ok2 := commonRune(after)
		if ok1 && ok2 {
			joined[a][b] = true
		} else {
			others = append(others, [2]rune{before, after})
		}
	}
	j.joined = bpe.NewFilter(len(others))
	for _, pair := range others {
		j.joined.Add(uint32(pair[0]), uint32(pair[1]))
	}
	runeAt := func(place int) rune {
		if place == utf8.RuneSelf {
			return separator
		}
		return rune(place)
	}
	for a := range joined {
		for b := range joined[a] {
			if !joined[a][b] && j.known(runeAt(a), runeAt(b)) {
				j.common[a][b/64] |= 1 << (b % 64)
			}
		}
	}
	return j
}

// known reports whether the symbols of two characters are their own. The second one has a token, so that a run of
// unknown ones is not cut, and the first one too if it might make nothing else, so that its neighbours meet.
func (j *junctions) known(before, after rune) bool {
	return j.bytes || (j.symbols.of(after) != bpe.None && (j.symbols.unknown != bpe.None || j.symbols.of(before) != bpe.None))
}

// next returns the end of the part of text that begins at start and can be encoded by itself.
func (j *junctions) next(text string, start int) int {
	if start >= len(text) {
		return len(text)
	}
	before, width := decodeRune(text, start)
	left, common := commonRune(before)
	for i := start + width; i < len(text); i += width {
		var after rune
		after, width = decodeRune(text, i)
		right, ok := commonRune(after)
		if common && ok {
			if j.common[left][right/64]>>(right%64)&1 != 0 {
				return i
			}
		} else if !j.joined.Has(uint32(before), uint32(after)) && j.known(before, after) {
			return i
		}
		before, left, common = after, right, ok
	}
	return len(text)
}

// decodeRune reads the character at a place of a text. It reads those of three bytes by hand, for the sake of the
// separator: the text is valid.
func decodeRune(text string, at int) (rune, int) {
	c := text[at]
	if c < utf8.RuneSelf {
		return rune(c), 1
	}
	if c&0xf0 == 0xe0 && len(text)-at > 2 {
		return rune(c&0xf)<<12 | rune(text[at+1]&0x3f)<<6 | rune(text[at+2]&0x3f), 3
	}
	return utf8.DecodeRuneInString(text[at:])
}

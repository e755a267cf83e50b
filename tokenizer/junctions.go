package tokenizer

import (
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/bpe"
)

// junctions finds places where a text for a model over characters can be cut without changing its tokens. A merge
// joins two tokens, and with them the last character of one and the first of the other. So between two characters that
// no merge joins nothing is ever merged, and what stands on each side is encoded by itself. In vocabularies of the
// SentencePiece kind that is nearly every place before a "▁": a text becomes words, which are short and come again.
type junctions struct {
	symbols *symbols
	pairs   map[uint64]struct{}
}

// separator is the character that stands for a space.
const separator = '▁'

// maxUncut is the length in bytes from which on every place is tried, and not only those before a separator.
const maxUncut = 48

// newJunctions returns nil if the model cannot be cut: if its symbols depend on their place in the word, or if merges
// take in tokens that stand for other text than their own.
func newJunctions(d *definition, s *symbols, unknown uint32) *junctions {
	if d.wordPrefix != "" || d.wordSuffix != "" {
		return nil
	}
	opaque := map[uint32]bool{}
	if unknown != bpe.None {
		opaque[unknown] = true
	}
	for _, id := range s.bytes {
		if d.byteFallback && id != bpe.None {
			opaque[id] = true
		}
	}
	j := &junctions{symbols: s, pairs: map[uint64]struct{}{}}
	for _, m := range d.merges {
		if opaque[m.Left] || opaque[m.Right] {
			return nil
		}
		left, right := d.vocab.tokens[m.Left].text, d.vocab.tokens[m.Right].text
		if left == "" || right == "" {
			return nil
		}
		j.pairs[pairOf(lastRune(left), firstRune(right))] = struct{}{}
	}
	return j
}

func pairOf(a, b rune) uint64 { return uint64(a)<<32 | uint64(b) }

// next returns the end of the part of text that begins at start and can be encoded by itself. The character after it
// has a token, so that a run of unknown ones is not cut.
func (j *junctions) next(text string, start int) int {
	before := rune(-1)
	for i := start; i < len(text); {
		r, n := decodeRune(text, i)
		if before >= 0 && (r == separator || i-start >= maxUncut) && j.symbols.of(r) != bpe.None {
			if _, joined := j.pairs[pairOf(before, r)]; !joined {
				return i
			}
		}
		before = r
		if j.symbols.unknown == bpe.None && j.symbols.of(r) == bpe.None {
			before = -1 // it may make nothing, so that its neighbours meet
		}
		i += n
	}
	return len(text)
}

// decodeRune reads the character at a place of a text.
func decodeRune(text string, at int) (rune, int) {
	if c := text[at]; c < utf8.RuneSelf {
		return rune(c), 1
	}
	return utf8.DecodeRuneInString(text[at:])
}

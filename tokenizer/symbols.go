package tokenizer

import (
	"fmt"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/bpe"
)

// symbols makes the first symbols of a word for a model over characters, as the reference's merge_word does.
type symbols struct {
	vocab        *vocab
	pages        [pages]*page // by character: those of a page that has none share one
	bytes        [256]uint32  // the tokens "<0x00>" to "<0xFF>", or None
	fallback     bool
	unknown      uint32 // None: a character without a token makes nothing
	fuse         bool
	prefix       string // before every character of a word but the first
	suffix       string // after the last character
	prefixLength int
	whole        bool // a word that is a token is that token: ignore_merges
}

// page holds the symbols of 256 characters that follow each other, or None.
type page [256]uint32

// pages is the number of pages of all characters.
const pages = (utf8.MaxRune + 1) / len(page{})

// newSymbols reads the symbols of a definition's characters.
func newSymbols(d *definition, unknown uint32) *symbols {
	s := &symbols{
		vocab: d.vocab, fallback: d.byteFallback, unknown: unknown, fuse: d.fuseUnknown,
		prefix: d.wordPrefix, suffix: d.wordSuffix, prefixLength: len(d.wordPrefix),
		whole: d.ignoreMerges,
	}
	empty := new(page)
	for i := range empty {
		empty[i] = bpe.None
	}
	for i := range s.pages {
		s.pages[i] = empty
	}
	for i := range d.vocab.tokens {
		tok := &d.vocab.tokens[i]
		if r, n := utf8.DecodeRuneInString(tok.text); tok.known && n == len(tok.text) && n > 0 {
			p := &s.pages[r>>8]
			if *p == empty {
				full := *empty
				*p = &full
			}
			(*p)[r&0xff] = uint32(i)
		}
	}
	for b := range s.bytes {
		s.bytes[b] = bpe.None
		if id, ok := d.vocab.find(fmt.Sprintf("<0x%02X>", b)); ok {
			s.bytes[b] = id
		}
	}
	return s
}

// of returns the symbol of a character, or None.
func (s *symbols) of(r rune) uint32 { return s.pages[r>>8][r&0xff] }

// at returns the symbol of the character word[i:end].
func (s *symbols) at(word string, i, end int, r rune) uint32 {
	first, last := i == 0, end == len(word)
	if (first || s.prefix == "") && (!last || s.suffix == "") {
		return s.of(r)
	}
	text := word[i:end]
	if !first {
		text = s.prefix + text
	}
	if last {
		text += s.suffix
	}
	if id, ok := s.vocab.findModel(text); ok {
		return id
	}
	return bpe.None
}

// append appends the symbols of a word. Words of known characters, which is nearly all, take the short way.
func (s *symbols) append(dst []uint32, word string) []uint32 {
	before := len(dst)
	if s.prefix == "" && s.suffix == "" {
		known := true
		for _, r := range word {
			id := s.of(r)
			if id == bpe.None {
				known = false
				break
			}
			dst = append(dst, id)
		}
		if known {
			return dst
		}
	}
	return s.appendAny(dst[:before], word)
}

// appendAny is append for any word.
func (s *symbols) appendAny(dst []uint32, word string) []uint32 {
	s.each(word, func(id uint32, _ int) { dst = append(dst, id) })
	return dst
}

// each calls yield with the symbols of a word and the number of bytes that each stands for. A run of unknown
// characters is kept back until a known one or the end comes, which is the reference's way: byte tokens overtake it.
func (s *symbols) each(word string, yield func(id uint32, length int)) {
	held := 0 // bytes of the unknown symbol that is kept back; 0: none is
	flush := func() {
		if held > 0 {
			yield(s.unknown, held)
			held = 0
		}
	}
	for i, r := range word {
		end := i + utf8.RuneLen(r)
		if id := s.at(word, i, end, r); id != bpe.None {
			flush()
			yield(id, end-i)
			continue
		}
		if s.fallback && s.yieldBytes(word, i, end, yield) {
			continue
		}
		if s.unknown == bpe.None {
			continue
		}
		if !s.fuse {
			flush()
		}
		held += end - i
	}
	flush()
}

// yieldBytes yields the byte tokens of a character, if there is one for each byte. The prefix and the suffix count.
func (s *symbols) yieldBytes(word string, i, end int, yield func(id uint32, length int)) bool {
	text := word[i:end]
	if i > 0 {
		text = s.prefix + text
	}
	if end == len(word) {
		text += s.suffix
	}
	for j := range len(text) {
		if s.bytes[text[j]] == bpe.None {
			return false
		}
	}
	before := 0 // bytes of the prefix: like those of the suffix they stand for nothing of the word
	if i > 0 {
		before = len(s.prefix)
	}
	for j := range len(text) {
		length := 0
		if j >= before && j < before+end-i {
			length = 1
		}
		yield(s.bytes[text[j]], length)
	}
	return true
}

// lengths appends how many bytes of the word each of its tokens stands for. The tokens' texts are the joined texts of
// the symbols that they were merged from, which tells how many symbols each has.
func (s *symbols) lengths(dst []int, word string, ids []uint32) []int {
	if s.whole && len(ids) == 1 {
		if text := s.vocab.modelText(ids[0]); text == word {
			return append(dst, len(word))
		}
	}
	at, rest, total := 0, 0, 0 // the token, how much of its text is not yet accounted for, and its bytes
	begun := false
	s.each(word, func(id uint32, length int) {
		if at == len(ids) {
			return
		}
		text := len(s.vocab.modelText(id))
		if !begun {
			begun, rest = true, len(s.vocab.modelText(ids[at]))
		} else {
			text -= s.prefixLength
		}
		rest -= text
		total += length
		if rest <= 0 {
			dst = append(dst, total)
			at, total, begun = at+1, 0, false
		}
	})
	return dst
}

package tokenizer

import (
	"unicode"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/normalize"
)

// EncodeOffsets returns the token ids of a text and, for each, the range of the text that it stands for.
func (t *Tokenizer) EncodeOffsets(text string, o EncodeOptions) (ids []uint32, offsets []Range, err error) {
	return t.AppendEncodeOffsets(nil, nil, text, o)
}

// AppendEncodeOffsets is [Tokenizer.AppendEncode] that also appends a range of the text for each token. The ranges are
// those of Hugging Face's offsets, in bytes: a token that is a part of a character has the whole character; white
// space at the ends of a token belongs to its range or not as the post-processor says (trim_offsets); what a
// normalizer puts into the text has the range of what stands beside it; and tokens that are added around the text have
// the empty range at 0. Ranges of invalid UTF-8 are those of the broken pieces that became U+FFFD.
func (t *Tokenizer) AppendEncodeOffsets(ids []uint32, offsets []Range, text string, o EncodeOptions) ([]uint32, []Range, error) {
	e := t.encoder()
	defer e.release()
	e.dst, e.tracked = ids, true
	if err := e.run(text, o); err != nil {
		return ids, offsets, err
	}
	if o.AddSpecialTokens {
		for range t.prefix {
			offsets = append(offsets, Range{})
		}
	}
	for _, s := range e.spans {
		offsets = append(offsets, Range(s))
	}
	if o.AddSpecialTokens {
		for range t.suffix {
			offsets = append(offsets, Range{})
		}
	}
	return e.dst, offsets, nil
}

// track notes what the tokens of a word stand for.
func (e *encoder) track(s normalize.String, ids []uint32) {
	t := e.t
	if t.letters != nil && t.symbols != nil { // some byte has no symbol: lengths count in characters, as they do there
		s = t.letters.write(s)
	}
	pos := 0
	add := func(length int) {
		// Tokens of the bytes of a prefix or suffix stand for nothing: they get the character at which they stand. The
		// reference counts their bytes as the word's, and so gives places outside of the word.
		end := max(pos+length, min(pos+1, len(s.Text)))
		span := s.Span(min(pos, end-1), end)
		e.spans = append(e.spans, span)
		pos += length
	}
	if t.symbols == nil {
		for _, id := range ids {
			add(len(t.wordBytes(id)))
		}
		return
	}
	e.lengths = t.symbols.lengths(e.lengths[:0], s.Text, ids)
	for _, n := range e.lengths {
		add(n)
	}
}

// wordBytes returns the bytes of a word that a token of a byte-level model stands for.
func (t *Tokenizer) wordBytes(id uint32) string {
	if t.decoder.byteLevel && t.vocab.shadowed == nil && t.decoder.names == nil {
		return t.vocab.tokens[id].raw
	}
	raw, _ := t.letters.bytesOf(t.vocab.modelText(id))
	return raw
}

// trim takes white space out of the spans, as the post-processors say. Added says that special tokens are added.
func (e *encoder) trim(ids []uint32, text string, added bool) {
	for _, p := range e.t.trims {
		p.inner = p.inner && added
		surfaces := e.surfaces
		for i, id := range ids {
			token := e.t.vocab.modelText(id)
			if len(surfaces) > 0 && surfaces[0].index == i {
				token, surfaces = surfaces[0].text, surfaces[1:]
			}
			e.trimToken(p, i, token, text)
		}
	}
}

// trimToken does one token. The reference counts the white space of the token's text, not of the text it stands for.
func (e *encoder) trimToken(p trim, i int, token, text string) {
	span := &e.spans[i]
	if span.End > len(text) {
		return
	}
	lead, tail := 0, 0 // in characters
	for _, r := range token {
		if !isTrimmed(r) {
			break
		}
		lead++
	}
	for rest := token; rest != ""; tail++ {
		r, n := utf8.DecodeLastRuneInString(rest)
		if !isTrimmed(r) {
			break
		}
		rest = rest[:len(rest)-n]
	}
	if lead > 0 {
		first := (i == 0 && !p.inner) || span.Start == 0
		if first && p.prefixSpace && lead == 1 {
			lead = 0
		}
		for ; lead > 0 && span.Start < span.End; lead-- {
			_, n := utf8.DecodeRuneInString(text[span.Start:])
			span.Start += n
		}
	}
	if !hasRunes(text[:span.End], tail) {
		return // so it is in the reference, where a token can be trimmed twice
	}
	for ; tail > 0 && span.End > span.Start; tail-- {
		_, n := utf8.DecodeLastRuneInString(text[:span.End])
		span.End -= n
	}
}

// hasRunes reports whether a text has n characters or more.
func hasRunes(text string, n int) bool {
	for ; n > 0 && text != ""; n-- {
		_, width := utf8.DecodeRuneInString(text)
		text = text[width:]
	}
	return n == 0
}

// isTrimmed reports whether a character of a token counts as white space.
func isTrimmed(r rune) bool { return r == 'Ġ' || unicode.IsSpace(r) }

// restore turns spans of repaired text into those of the text that was given.
func (e *encoder) restore(original string) {
	at := make([]int, 0, len(original)+1) // by byte of the repaired text
	for pos := 0; pos < len(original); {
		n, _, ok := subpart(original[pos:])
		width := n
		if !ok {
			width = utf8.RuneLen(utf8.RuneError)
		}
		for range width {
			at = append(at, pos)
		}
		pos += n
	}
	at = append(at, len(original))
	for i, s := range e.spans {
		e.spans[i] = normalize.Span{Start: at[s.Start], End: at[s.End]}
	}
}

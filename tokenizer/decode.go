package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Decode returns the text of token ids; special tokens are left out if skipSpecial is set. Ids without a token are
// passed over. In a byte-level vocabulary bytes that are not valid UTF-8 become U+FFFD, one for each longest piece of
// a character. A Replace of the decoder whose pattern once backtracked too long (see [LimitError]) is left out from then
// on.
func (t *Tokenizer) Decode(ids []uint32, skipSpecial bool) string {
	if !t.decoder.byteLevel {
		return t.decoder.text(t.texts(ids, skipSpecial))
	}
	size := 0
	for _, id := range ids {
		size += len(t.raw(id, skipSpecial))
	}
	buf := make([]byte, 0, size)
	for _, id := range ids {
		buf = append(buf, t.raw(id, skipSpecial)...)
	}
	if utf8.Valid(buf) {
		return string(buf)
	}
	return string(appendLossy(nil, buf))
}

// texts returns what the decoder gets.
func (t *Tokenizer) texts(ids []uint32, skipSpecial bool) []string {
	texts := make([]string, 0, len(ids))
	for _, id := range ids {
		if text, ok := t.decoded(id, skipSpecial); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

// decoded returns the text of a token that the decoder gets; ok is false if it gets none.
func (t *Tokenizer) decoded(id uint32, skipSpecial bool) (text string, ok bool) {
	text, ok = t.Token(id)
	if !ok || (skipSpecial && t.vocab.tokens[id].special) {
		return "", false
	}
	if name, renamed := t.decoder.names[id]; renamed {
		text = name
	}
	return text, true
}

// Decoder decodes a stream of token ids piece by piece. What Add and Flush return, joined, is what
// [Tokenizer.Decode] returns for all ids, and each piece is whole UTF-8 characters. A Decoder belongs to one stream
// and is not safe for concurrent use.
type Decoder struct {
	t           *Tokenizer
	skipSpecial bool
	open        []byte // what later tokens may change: the first bytes of a character, or a run of byte tokens

	// Of decoders other than ByteLevel.
	begun  bool     // a token came
	marked bool     // stripMarks is done
	passed bool     // a token came out of ByteFallback
	left   int      // how often a final Strip has taken its character away on the left; -1: no more
	tail   string   // what it may take away on the right
	all    []string // the tokens of a decoder that does not stream
}

// NewDecoder returns a decoder for one stream.
func (t *Tokenizer) NewDecoder(skipSpecial bool) *Decoder {
	return &Decoder{t: t, skipSpecial: skipSpecial}
}

// Add takes the next id and returns the text that is certain by now, which may be empty.
func (d *Decoder) Add(id uint32) string {
	if c := &d.t.decoder; !c.byteLevel {
		text, ok := d.t.decoded(id, d.skipSpecial)
		if !ok {
			return ""
		}
		return d.addText(c, text)
	}
	raw := d.t.raw(id, d.skipSpecial)
	if len(d.open) == 0 && utf8.ValidString(raw) {
		return raw
	}
	d.open = append(d.open, raw...)
	tail := openTail(d.open)
	text := string(appendLossy(nil, d.open[:len(d.open)-tail]))
	d.open = append(d.open[:0], d.open[len(d.open)-tail:]...)
	return text
}

// Flush ends the stream and returns the rest of the text. The decoder can then begin another stream.
func (d *Decoder) Flush() string {
	c := &d.t.decoder
	var text string
	switch {
	case c.byteLevel:
		text = string(appendLossy(nil, d.open))
	case c.spaced:
	case c.streams:
		for i, l := range c.list[:c.fused] {
			if f, ok := l.(byteFallback); ok {
				text = d.closeRun(c, f, i+1)
			}
		}
	default:
		text = c.text(d.all)
	}
	*d = Decoder{t: d.t, skipSpecial: d.skipSpecial, open: d.open[:0]}
	return text
}

// addText is Add for decoders other than ByteLevel.
func (d *Decoder) addText(c *chain, text string) string {
	first := !d.begun
	d.begun = true
	switch {
	case c.spaced && first:
		return text
	case c.spaced:
		return " " + text
	case !c.streams:
		d.all = append(d.all, text)
		return ""
	}
	return d.stage(c, 0, text, first)
}

// stage hands one token through the links from the i-th on, up to Fuse.
func (d *Decoder) stage(c *chain, i int, text string, first bool) string {
	for ; i < c.fused; i++ {
		switch l := c.list[i].(type) {
		case each:
			text = l(text, first)
		case stripEnds:
			text = l.strip(text)
		case stripMarks:
			if !d.marked {
				text, d.marked = l.strip(text)
			}
		case byteFallback:
			if b, ok := byteOf(text); ok {
				d.open = append(d.open, b)
				return ""
			}
			before := d.closeRun(c, l, i+1)
			first, d.passed = !d.passed, true
			return before + d.stage(c, i+1, text, first)
		}
	}
	return d.final(c, text)
}

// closeRun ends a run of byte tokens, whose texts go on at the i-th link.
func (d *Decoder) closeRun(c *chain, f byteFallback, i int) string {
	var out strings.Builder
	for _, piece := range f.appendRun(nil, d.open) {
		first := !d.passed
		d.passed = true
		out.WriteString(d.stage(c, i, piece, first))
	}
	d.open = d.open[:0]
	return out.String()
}

// final does the Strip that may stand after Fuse.
func (d *Decoder) final(c *chain, text string) string {
	if c.fused+1 >= len(c.list) {
		return text
	}
	s, ok := c.list[c.fused+1].(stripEnds)
	if !ok {
		return text
	}
	for d.left >= 0 && text != "" {
		rest, has := strings.CutPrefix(text, s.content)
		if !has || d.left == s.start {
			d.left = -1
			break
		}
		text = rest
		d.left++
	}
	text = d.tail + text
	end := len(text)
	for range s.stop {
		if !strings.HasSuffix(text[:end], s.content) {
			break
		}
		end -= len(s.content)
	}
	d.tail = text[end:]
	return text[:end]
}

package tokenizer

import "unicode/utf8"

// Decode returns the text of token ids; special tokens are left out if skipSpecial is set. Ids without a token are
// passed over. Bytes that are not valid UTF-8 become U+FFFD, one for each longest piece of a character.
func (t *Tokenizer) Decode(ids []uint32, skipSpecial bool) string {
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

// Decoder decodes a stream of token ids piece by piece. What Add and Flush return, joined, is what
// [Tokenizer.Decode] returns for all ids, and each piece is whole UTF-8 characters. A Decoder belongs to one stream
// and is not safe for concurrent use.
type Decoder struct {
	t           *Tokenizer
	skipSpecial bool
	open        []byte // the first bytes, at most three, of a character that the next token may complete
}

// NewDecoder returns a decoder for one stream.
func (t *Tokenizer) NewDecoder(skipSpecial bool) *Decoder {
	return &Decoder{t: t, skipSpecial: skipSpecial}
}

// Add takes the next id and returns the text that is certain by now, which may be empty.
func (d *Decoder) Add(id uint32) string {
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

// Flush ends the stream: it returns U+FFFD if a character was left incomplete, and otherwise nothing. The decoder
// can then begin another stream.
func (d *Decoder) Flush() string {
	text := string(appendLossy(nil, d.open))
	d.open = d.open[:0]
	return text
}

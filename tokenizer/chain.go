package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/normalize"
)

// chain is the decoder: what turns the texts of tokens into text.
//
// Two shapes are fast and stream: ByteLevel alone, where a token is bytes; and a list of decoders that each change one
// token (Replace, Strip, Metaspace, ByteFallback), then maybe Fuse, then maybe a Strip of the whole. Any other list
// is applied to all tokens at once, as the reference does, and a stream of it gives its text at the end.
type chain struct {
	byteLevel bool // ByteLevel alone
	spaced    bool // no decoder: texts with a space between
	list      []link
	fused     int  // the index of Fuse in list, or len(list)
	streams   bool // the second shape
	names     map[uint32]string
	growth    int // see maxDecoded
}

// byteLevelChain is ByteLevel alone.
func byteLevelChain() chain {
	return chain{byteLevel: true, list: []link{byteLevelLink{newAlphabet()}}, fused: 1}
}

// link is one decoder: it changes a list of texts.
type link interface {
	// apply changes the list in place or returns another.
	apply(tokens []string) []string
}

// each is a link that changes every text by itself. The function is told whether the text is the first.
type each func(token string, first bool) string

func (f each) apply(tokens []string) []string {
	for i, token := range tokens {
		tokens[i] = f(token, i == 0)
	}
	return tokens
}

// decoderChain reads the decoder.
func (d *definition) decoderChain(data json.RawMessage) error {
	const part = "decoder"
	list, err := parseComponent(part, data, "decoders", "ByteLevel", "ByteFallback", "Fuse", "Replace", "Strip", "Metaspace")
	if err != nil {
		return err
	}
	c := chain{spaced: !present(data), byteLevel: len(list) == 1 && list[0].Type == "ByteLevel", fused: len(list)}
	c.streams = !c.spaced && !c.byteLevel
	for i, x := range list {
		l, err := d.link(part, &x)
		if err != nil {
			return err
		}
		c.list = append(c.list, l)
		_, cuts := l.(stripEnds)
		switch {
		case x.Type == "ByteLevel", x.Type == "ByteFallback" && slices.ContainsFunc(list[:i], func(y component) bool { return y.Type == x.Type }):
			c.streams = false
		case x.Type == "Fuse" && c.fused == len(list):
			c.fused = i
		case c.fused < i && !cuts:
			c.streams = false
		}
	}
	if c.fused < len(list)-2 { // more than one Strip after Fuse
		c.streams = false
	}
	d.decoder = c
	return nil
}

const (
	// maxStrip bounds start and stop of Strip: a stream holds back what may be taken away.
	maxStrip = 1 << 10
	// maxDecoded bounds how many times as long all the Replaces of a decoder may make a text.
	maxDecoded = 1 << 10
)

// grows notes that a Replace can put content in the place of so many bytes or more.
func (c *chain) grows(content, of int) error {
	if c.growth = max(c.growth, 1); content > of {
		c.growth *= (content + of - 1) / of
	}
	if c.growth > maxDecoded {
		return &UnsupportedError{Part: "decoder Replace", Name: fmt.Sprintf("that makes a text more than %d times as long", maxDecoded)}
	}
	return nil
}

// link reads one decoder.
func (d *definition) link(part string, c *component) (link, error) {
	switch c.Type {
	case "ByteLevel":
		return byteLevelLink{newAlphabet()}, nil
	case "ByteFallback":
		return byteFallback{}, nil
	case "Fuse":
		return fuse{}, nil
	case "Replace":
		m, err := d.matcher(part+" Replace", c.Pattern)
		if err != nil {
			return nil, err
		}
		if c.Content == nil {
			return nil, formatError("%s: Replace lacks content", part)
		}
		if c.Pattern.String != nil {
			if err := d.decoder.grows(len(*c.Content), len(*c.Pattern.String)); err != nil {
				return nil, err
			}
			from, to := *c.Pattern.String, *c.Content
			return each(func(token string, _ bool) string { return strings.ReplaceAll(token, from, to) }), nil
		}
		if err := d.decoder.grows(len(*c.Content)+1, 1); err != nil { // it may match nothing before each byte
			return nil, err
		}
		r := normalize.Replace{Pattern: m, Content: *c.Content}
		tooSlow := new(atomic.Bool)
		return each(func(token string, _ bool) string {
			if tooSlow.Load() {
				return token
			}
			s, err := r.Normalize(normalize.New(token, 0, false))
			if err != nil { // once is enough: a text has many tokens
				tooSlow.Store(true)
				return token
			}
			return s.Text
		}), nil
	case "Strip":
		if c.Content == nil || utf8.RuneCountInString(*c.Content) != 1 || c.Start < 0 || c.Stop < 0 || max(c.Start, c.Stop) > maxStrip {
			return nil, formatError("%s: Strip needs one character of content, and start and stop of 0 to %d", part, maxStrip)
		}
		return stripEnds{content: *c.Content, start: c.Start, stop: c.Stop}, nil
	}
	mark, scheme, err := c.metaspace(part + " Metaspace")
	if err != nil {
		return nil, err
	}
	return each(func(token string, first bool) string {
		if first && scheme != prependNever {
			return strings.ReplaceAll(token, mark, "")
		}
		return strings.ReplaceAll(token, mark, " ")
	}), nil
}

// stripEnds takes a character away at the ends of a text, start times at most on the left and stop times on the right.
type stripEnds struct {
	content     string
	start, stop int
}

func (s stripEnds) apply(tokens []string) []string {
	for i := range tokens {
		tokens[i] = s.strip(tokens[i])
	}
	return tokens
}

// strip does one text. The reference takes the ends of the whole text, so a character can count on both sides; it
// fails where that leaves less than nothing, and here nothing is left then.
func (s stripEnds) strip(text string) string {
	start, end := s.left(text), len(text)
	for range s.stop {
		if !strings.HasSuffix(text[:end], s.content) {
			break
		}
		end -= len(s.content)
	}
	return text[start:max(start, end)]
}

// left returns how many bytes are taken away on the left.
func (s stripEnds) left(text string) int {
	n := 0
	for range s.start {
		if !strings.HasPrefix(text[n:], s.content) {
			break
		}
		n += len(s.content)
	}
	return n
}

// fuse joins all texts to one.
type fuse struct{}

func (fuse) apply(tokens []string) []string { return []string{strings.Join(tokens, "")} }

// byteLevelLink reads the characters of byte-level tokens as bytes.
type byteLevelLink struct{ letters *alphabet }

func (l byteLevelLink) apply(tokens []string) []string {
	var all []byte
	for _, token := range tokens {
		raw, ok := l.letters.bytesOf(token)
		if !ok {
			raw = token
		}
		all = append(all, raw...)
	}
	return []string{string(appendLossy(nil, all))}
}

// byteFallback turns runs of byte tokens into the text of their bytes. If they are no text, Hugging Face's makes a U+FFFD
// of each; SentencePiece only of those bytes that are no part of a character.
type byteFallback struct{ perByte bool }

func (f byteFallback) apply(tokens []string) []string {
	var out []string
	var run []byte
	for _, token := range tokens {
		if b, ok := byteOf(token); ok {
			run = append(run, b)
			continue
		}
		out = f.appendRun(out, run)
		run = run[:0]
		out = append(out, token)
	}
	return f.appendRun(out, run)
}

// appendRun appends the texts of a run of byte tokens.
func (f byteFallback) appendRun(out []string, run []byte) []string {
	if len(run) == 0 {
		return out
	}
	if utf8.Valid(run) {
		return append(out, string(run))
	}
	if f.perByte {
		return append(out, string([]rune(string(run)))) // Go's conversion, too, replaces byte by byte
	}
	for range run {
		out = append(out, "\ufffd")
	}
	return out
}

// byteOf reads a token such as "<0x0A>". As in the reference the digits may be of either case, and a plus may stand
// for the first of them.
func byteOf(token string) (byte, bool) {
	if len(token) != 6 || token[:3] != "<0x" || token[5] != '>' {
		return 0, false
	}
	high, ok1 := hexDigit(token[3])
	low, ok2 := hexDigit(token[4])
	if token[3] == '+' {
		high, ok1 = 0, true
	}
	return high<<4 | low, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// rename makes a token decode as another text.
func (c *chain) rename(id uint32, text string) {
	if c.names == nil {
		c.names = map[uint32]string{}
	}
	c.names[id] = text
}

// rawOf returns the bytes that a token decodes to in the middle of a text.
func (c *chain) rawOf(text string, letters *alphabet) string {
	if c.byteLevel {
		if raw, ok := letters.bytesOf(text); ok {
			return raw
		}
		return text
	}
	for i, l := range c.list {
		switch l := l.(type) {
		case each:
			text = l(text, false)
		case stripEnds:
			if i < c.fused {
				text = l.strip(text)
			}
		case byteFallback:
			if b, ok := byteOf(text); ok {
				return string([]byte{b})
			}
		case byteLevelLink:
			if raw, ok := l.letters.bytesOf(text); ok {
				text = raw
			}
		}
	}
	return text
}

// text decodes the texts of all tokens.
func (c *chain) text(tokens []string) string {
	if c.spaced {
		return strings.Join(tokens, " ")
	}
	for _, l := range c.list {
		tokens = l.apply(tokens)
	}
	return strings.Join(tokens, "")
}

// replaceSeparator writes the separator as a space.
func replaceSeparator(token string) string { return strings.ReplaceAll(token, string(separator), " ") }

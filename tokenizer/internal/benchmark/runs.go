package main

import (
	"math/rand/v2"
	"strings"
)

// slowText is a text that makes some tokenizers slow.
type slowText struct{ name, text string }

// slowTexts are runs of what patterns, merges and searches for added tokens go through slowly: each of so many bytes,
// but for what is lost at the end.
func slowTexts(size int) []slowText {
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // not a secret
	letters := func(alphabet string) string {
		list := []rune(alphabet)
		var b strings.Builder
		for b.Len() < size {
			b.WriteRune(list[rng.IntN(len(list))])
		}
		return b.String()
	}
	bytes := make([]byte, size)
	for i := range bytes {
		bytes[i] = byte(rng.Uint32())
	}
	texts := []slowText{
		{"random letters", letters("abcdefghijklmnopqrstuvwxyz")},
		{"random punctuation", letters("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")},
		{"random ideographs", letters("的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后")},
		{"random bytes", string(bytes)},
	}
	for _, part := range []string{
		"a", "A", "é", " ", "\t", "\n", "\r\n", " \n", "\n ", "中", "0", "!", "<", "<|", "'",
		"a a ", //nolint:dupword // that is what it is
		"'s", " a", "👍🏽", "e\u0301", "\u200b", "\u3000", "▁",
	} {
		texts = append(texts, slowText{"run of " + quoted(part), strings.Repeat(part, size/len(part))})
	}
	return texts
}

// quoted writes white space and what has no width with escapes.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch r {
		case '\t':
			b.WriteString(`\t`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case 0x301:
			b.WriteString(`\u0301`)
		case 0x200b:
			b.WriteString(`\u200b`)
		case 0x3000:
			b.WriteString(`\u3000`)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

package pretoken

import "unicode/utf8"

//go:generate go run ./internal/gentables testdata/classes.txt tables.go

// Class says what a code point is to the reference implementation, Hugging Face tokenizers 0.23, as bits. The
// reference asks several engines with several versions of Unicode, so the classes are what these answer
// (testdata/classes.txt, made by internal/gentables/probe.py) and not what Go's package unicode holds. The regex engine
// of tiktoken 0.14 was asked too: its answers about \p and \s are the same.
type Class uint16

// The classes. Those up to Kana are of the regex engine of a pre-tokenizer's pattern.
const (
	Upper       Class = 1 << iota // \p{Lu} and \p{Lt}
	Lower                         // \p{Ll}
	Caseless                      // \p{Lm} and \p{Lo}
	Mark                          // \p{M}
	Number                        // \p{N}
	Decimal                       // \p{Nd}, which is \d
	Punct                         // \p{P}
	Symbol                        // \p{S}
	Space                         // \s
	Newline                       // \r and \n
	Han                           // \p{Han}
	Kana                          // [一-龥぀-ゟ゠-ヿ]: the ideographs and kana that DeepSeek's pattern names
	Digit                         // a number to the Digits pre-tokenizer
	Punctuation                   // punctuation to the Punctuation pre-tokenizer
	Word                          // \w next to a single_word added token
	Padding                       // \s next to an lstrip or rstrip added token
)

// Letter is \p{L}.
const Letter = Upper | Lower | Caseless

// ClassOf returns the classes of a code point.
func ClassOf(r rune) Class {
	if uint32(r) >= classLimit {
		return 0
	}
	return classSets[classRows[int(classIndex[r>>blockBits])<<blockBits|int(r&blockMask)]&127]
}

// classAt returns the classes and the width in bytes of the first character of text[pos:], which is not empty and
// valid UTF-8. Of what is not, the classes mean nothing, and the width ends before len(text).
func classAt(text string, pos int) (Class, int) {
	if c := text[pos]; c < utf8.RuneSelf {
		return asciiClasses[c], 1
	}
	return wideAt(text, pos)
}

// wideAt is classAt for what is not ASCII. It decodes the characters of two and three bytes by hand, since package utf8
// checks more than is needed.
func wideAt(text string, pos int) (Class, int) {
	const cont = utf8.RuneSelf // the upper bits of a byte that continues a character: 10
	switch rest := text[pos:]; {
	case len(rest) > 2 && rest[0]&0xf0 == 0xe0 && rest[1]&0xc0 == cont && rest[2]&0xc0 == cont:
		return ClassOf(rune(rest[0]&0xf)<<12 | rune(rest[1]&0x3f)<<6 | rune(rest[2]&0x3f)), 3
	case len(rest) > 1 && rest[0]&0xe0 == 0xc0 && rest[1]&0xc0 == cont:
		return ClassOf(rune(rest[0]&0x1f)<<6 | rune(rest[1]&0x3f)), 2
	default:
		r, width := utf8.DecodeRuneInString(rest)
		return ClassOf(r), width
	}
}

// run returns the end of the run of characters of some of the classes that begins at pos.
func run(text string, pos int, class Class) int {
	for pos < len(text) {
		c := text[pos]
		if c < utf8.RuneSelf {
			if asciiClasses[c]&class == 0 {
				break
			}
			pos++
			continue
		}
		wide, width := wideAt(text, pos)
		if wide&class == 0 {
			break
		}
		pos += width
	}
	return pos
}

// runWithout is run for the characters of none of the classes.
func runWithout(text string, pos int, class Class) int {
	for pos < len(text) {
		c := text[pos]
		if c < utf8.RuneSelf {
			if asciiClasses[c]&class != 0 {
				break
			}
			pos++
			continue
		}
		wide, width := wideAt(text, pos)
		if wide&class != 0 {
			break
		}
		pos += width
	}
	return pos
}

// atMost is run for n characters at most.
func atMost(text string, pos, n int, class Class) int {
	for ; n > 0 && pos < len(text); n-- {
		c, width := classAt(text, pos)
		if c&class == 0 {
			break
		}
		pos += width
	}
	return pos
}

// runeAt returns a character too.
func runeAt(text string, pos int) (rune, Class, int) {
	r, width := utf8.DecodeRuneInString(text[pos:])
	return r, ClassOf(r), width
}

package pretoken

import "unicode/utf8"

//go:generate go run ./internal/gentables testdata/classes.txt tables.go

// Class says what a code point is to the reference implementation, Hugging Face tokenizers 0.23, as bits. The
// reference asks three engines with three versions of Unicode, so the classes are what these answer
// (testdata/classes.txt, made by internal/gentables/probe.py) and not what Go's package unicode holds.
type Class uint8

// The classes.
const (
	Letter  Class = 1 << iota // \p{L} of a pre-tokenizer's pattern
	Number                    // \p{N} of a pre-tokenizer's pattern
	Space                     // \s of a pre-tokenizer's pattern
	Digit                     // a number to the Digits pre-tokenizer
	Word                      // \w next to a single_word added token
	Padding                   // \s next to an lstrip or rstrip added token
)

// ClassOf returns the classes of a code point.
func ClassOf(r rune) Class {
	if uint32(r) >= classLimit {
		return 0
	}
	return Class(classRows[int(classIndex[r>>blockBits])<<blockBits|int(r&blockMask)] - '0')
}

// classAt returns the classes and the width in bytes of the first character of text[pos:], which is not empty and
// valid UTF-8. Invalid bytes count as U+FFFD.
func classAt(text string, pos int) (Class, int) {
	if c := text[pos]; c < utf8.RuneSelf {
		return Class(classRows[c]) - '0', 1
	}
	return wideAt(text[pos:])
}

// wideAt is classAt for what is not ASCII.
func wideAt(text string) (Class, int) {
	r, width := utf8.DecodeRuneInString(text)
	return ClassOf(r), width
}

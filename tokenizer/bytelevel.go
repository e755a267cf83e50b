package tokenizer

import (
	"unicode/utf8"
	"unsafe"

	"github.com/sluiceml/sluice/tokenizer/normalize"
)

// A byte-level vocabulary writes each byte as one printable character (GPT-2's encoder.py): the printable ones of
// Latin-1 as themselves, the other 68 as U+0100 onwards, in order.

// alphabetSize is one more than the last character of the alphabet.
const alphabetSize = 0x144

// alphabet translates between bytes and their characters.
type alphabet struct {
	char [256]rune
	byte [alphabetSize]int16 // -1: the character stands for none
}

func newAlphabet() *alphabet {
	a := &alphabet{}
	for i := range a.byte {
		a.byte[i] = -1
	}
	other := rune(0x100)
	for b := range rune(256) {
		c := b
		if b < '!' || (b > '~' && b < 0xa1) || b == 0xad {
			c = other
			other++
		}
		a.char[b] = c
		a.byte[c] = int16(b)
	}
	return a
}

// bytesOf returns the bytes that a token's characters stand for; ok is false if some character stands for none.
func (a *alphabet) bytesOf(token string) (raw string, ok bool) {
	var arena []byte
	return a.appendBytes(&arena, token)
}

// appendBytes is bytesOf with the bytes in an arena, to which it only appends.
func (a *alphabet) appendBytes(arena *[]byte, token string) (raw string, ok bool) {
	plain := true // every character stands for itself and is one byte
	for i := range len(token) {
		if token[i] < '!' || token[i] > '~' {
			plain = false
			break
		}
	}
	if plain {
		return token, true
	}
	if cap(*arena)-len(*arena) < len(token) {
		*arena = make([]byte, 0, max(len(token), 1<<16))
	}
	start := len(*arena)
	for _, c := range token {
		if c >= alphabetSize || a.byte[c] < 0 {
			*arena = (*arena)[:start]
			return "", false
		}
		*arena = append(*arena, byte(a.byte[c]))
	}
	return stringOf((*arena)[start:]), true
}

// stringOf returns bytes that never change again as a string.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) } //nolint:gosec // see above

// symbol returns the token of one byte.
func (a *alphabet) symbol(b byte) string { return string(utf8.AppendRune(nil, a.char[b])) }

// text returns the token of bytes.
func (a *alphabet) text(raw string) string {
	out := make([]byte, 0, 2*len(raw))
	for i := range len(raw) {
		out = utf8.AppendRune(out, a.char[raw[i]])
	}
	return string(out)
}

// write turns a text into the characters of its bytes.
func (a *alphabet) write(s normalize.String) normalize.String {
	return normalize.Map(func(dst []rune, r rune) []rune {
		var buffer [utf8.UTFMax]byte
		for _, b := range buffer[:utf8.EncodeRune(buffer[:], r)] {
			dst = append(dst, a.char[b])
		}
		return dst
	}).Apply(s)
}

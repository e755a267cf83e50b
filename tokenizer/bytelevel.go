package tokenizer

import "unicode/utf8"

// A byte-level vocabulary writes each byte as one printable character (GPT-2's encoder.py): the printable ones of
// Latin-1 as themselves, the other 68 as U+0100 onwards, in order.

// alphabet translates between bytes and their characters.
type alphabet struct {
	char [256]rune
	byte map[rune]byte
}

func newAlphabet() *alphabet {
	a := &alphabet{byte: make(map[rune]byte, 256)}
	other := rune(0x100)
	for b := range rune(256) {
		c := b
		if b < '!' || (b > '~' && b < 0xa1) || b == 0xad {
			c = other
			other++
		}
		a.char[b] = c
		a.byte[c] = byte(b)
	}
	return a
}

// bytesOf returns the bytes that a token's characters stand for; ok is false if some character stands for none.
func (a *alphabet) bytesOf(token string) (raw string, ok bool) {
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
	buf := make([]byte, 0, len(token))
	for _, c := range token {
		b, ok := a.byte[c]
		if !ok {
			return "", false
		}
		buf = append(buf, b)
	}
	return string(buf), true
}

// symbol returns the token of one byte.
func (a *alphabet) symbol(b byte) string { return string(utf8.AppendRune(nil, a.char[b])) }

package tokenizer

import "unicode/utf8"

// appendLossy appends src with its invalid bytes replaced by U+FFFD, one for each maximal subpart of a character
// (Unicode 16, section 3.9, "U+FFFD substitution of maximal subparts"), which is what Rust's from_utf8_lossy, Python's
// errors="replace" and browsers do. Go's own conversions replace byte by byte, or whole runs.
func appendLossy[T string | []byte](dst []byte, src T) []byte {
	for len(src) > 0 {
		n, _, ok := subpart(src)
		if ok {
			dst = append(dst, src[:n]...)
		} else {
			dst = utf8.AppendRune(dst, utf8.RuneError)
		}
		src = src[n:]
	}
	return dst
}

// subpart measures the character that src, which is not empty, begins with, or the longest piece of one. Ok tells
// the two apart; open says that the piece ends with src and that more bytes could complete it.
func subpart[T string | []byte](src T) (n int, open, ok bool) {
	b := src[0]
	if b < utf8.RuneSelf {
		return 1, false, true
	}
	// The second byte has a range of its own after some first bytes (table 3-7).
	low, high, need := byte(0x80), byte(0xbf), 0
	switch {
	case b >= 0xc2 && b <= 0xdf:
		need = 2
	case b == 0xe0:
		low, need = 0xa0, 3
	case b == 0xed:
		high, need = 0x9f, 3
	case b >= 0xe1 && b <= 0xef:
		need = 3
	case b == 0xf0:
		low, need = 0x90, 4
	case b == 0xf4:
		high, need = 0x8f, 4
	case b >= 0xf1 && b <= 0xf3:
		need = 4
	default:
		return 1, false, false
	}
	for n = 1; n < need; n++ {
		if n == len(src) {
			return n, true, false
		}
		if src[n] < low || src[n] > high {
			return n, false, false
		}
		low, high = 0x80, 0xbf
	}
	return need, false, true
}

// openTail returns how many bytes at the end of b begin a character that more bytes could complete: 0 to 3.
func openTail(b []byte) int {
	for n := min(3, len(b)); n > 0; n-- {
		if size, open, _ := subpart(b[len(b)-n:]); open && size == n {
			return n
		}
	}
	return 0
}

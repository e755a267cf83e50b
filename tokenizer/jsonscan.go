package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonScanner reads the large parts of a tokenizer.json, a vocabulary and a list of merges, without the detour of
// package encoding/json over reflection and a Go string for each key. It keeps to RFC 8259; the small parts it hands
// on as they stand. The data must be valid UTF-8.
type jsonScanner struct {
	data []byte
	pos  int
	buf  []byte // scratch of text
}

// maxDepth bounds how deep values lie in each other.
const maxDepth = 10000

var errJSON = errors.New("malformed JSON")

func (s *jsonScanner) fail(what string) error {
	return fmt.Errorf("%w: %s at byte %d", errJSON, what, s.pos)
}

// space passes white space over and returns the byte after it, or 0 at the end.
func (s *jsonScanner) space() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// expect passes one byte over, and white space before it.
func (s *jsonScanner) expect(c byte) error {
	if s.space() != c {
		return s.fail(fmt.Sprintf("%q is missing", c))
	}
	s.pos++
	return nil
}

// more stands after an opening bracket or an element: it reports whether another element comes, and passes the comma or
// the closing bracket over.
func (s *jsonScanner) more(first bool, closing byte) (bool, error) {
	c := s.space()
	switch {
	case c == closing:
		s.pos++
		return false, nil
	case first:
		return true, nil
	case c == ',':
		s.pos++
		if s.space() == closing {
			return false, s.fail("an element is missing")
		}
		return true, nil
	}
	return false, s.fail("a comma is missing")
}

// object calls yield for each key of an object, with the scanner before the value, which yield must read. The key is
// valid until the next text is read.
func (s *jsonScanner) object(yield func(key []byte) error) error {
	if err := s.expect('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := s.more(first, '}')
		if err != nil || !more {
			return err
		}
		key, err := s.text()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := yield(key); err != nil {
			return err
		}
	}
}

// array calls yield for each element of an array, with the scanner before it.
func (s *jsonScanner) array(yield func() error) error {
	if err := s.expect('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := s.more(first, ']')
		if err != nil || !more {
			return err
		}
		if err := yield(); err != nil {
			return err
		}
	}
}

// text reads a string. What it returns lies in the data or in the scratch.
func (s *jsonScanner) text() ([]byte, error) {
	if err := s.expect('"'); err != nil {
		return nil, err
	}
	for i := s.pos; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			text := s.data[s.pos:i]
			s.pos = i + 1
			return text, nil
		case c == '\\':
			return s.escaped(i)
		case c < ' ':
			s.pos = i
			return nil, s.fail("a control character in a string")
		}
	}
	return nil, s.fail("a string has no end")
}

// escaped reads a string whose first escape stands at i.
func (s *jsonScanner) escaped(i int) ([]byte, error) {
	s.buf = append(s.buf[:0], s.data[s.pos:i]...)
	for s.pos = i; s.pos < len(s.data); {
		c := s.data[s.pos]
		switch {
		case c == '"':
			s.pos++
			return s.buf, nil
		case c < ' ':
			return nil, s.fail("a control character in a string")
		case c != '\\':
			s.buf = append(s.buf, c)
			s.pos++
			continue
		}
		if s.pos+1 == len(s.data) {
			break
		}
		c = s.data[s.pos+1]
		s.pos += 2
		switch c {
		case '"', '\\', '/':
			s.buf = append(s.buf, c)
		case 'b':
			s.buf = append(s.buf, '\b')
		case 'f':
			s.buf = append(s.buf, '\f')
		case 'n':
			s.buf = append(s.buf, '\n')
		case 'r':
			s.buf = append(s.buf, '\r')
		case 't':
			s.buf = append(s.buf, '\t')
		case 'u':
			r, err := s.unit()
			if err != nil {
				return nil, err
			}
			if utf16.IsSurrogate(r) {
				if s.pos+2 > len(s.data) || s.data[s.pos] != '\\' || s.data[s.pos+1] != 'u' {
					return nil, s.fail("a surrogate stands alone")
				}
				s.pos += 2
				low, err := s.unit()
				if err != nil {
					return nil, err
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					return nil, s.fail("a surrogate stands alone")
				}
			}
			s.buf = utf8.AppendRune(s.buf, r)
		default:
			return nil, s.fail("an unknown escape")
		}
	}
	return nil, s.fail("a string has no end")
}

// unit reads four hexadecimal digits.
func (s *jsonScanner) unit() (rune, error) {
	var r rune
	for range 4 {
		if s.pos == len(s.data) {
			return 0, s.fail("an escape has no end")
		}
		d, ok := hexDigit(s.data[s.pos])
		if !ok {
			return 0, s.fail("an escape is not hexadecimal")
		}
		r = r<<4 | rune(d)
		s.pos++
	}
	return r, nil
}

// id reads a whole number that fits an id.
func (s *jsonScanner) id() (uint32, error) {
	c := s.space()
	n, start := uint64(0), s.pos
	for ; c >= '0' && c <= '9'; c = s.peek() {
		n = n*10 + uint64(c-'0')
		if n > math.MaxUint32 {
			return 0, s.fail("an id is too large")
		}
		s.pos++
	}
	if s.pos == start || (s.data[start] == '0' && s.pos > start+1) || c == '.' || c == 'e' || c == 'E' {
		return 0, s.fail("an id is not a whole number")
	}
	return uint32(n), nil
}

func (s *jsonScanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// value passes one value of any kind over and returns it. It looks at brackets and strings alone: whoever reads the
// value finds other faults.
func (s *jsonScanner) value() (json.RawMessage, error) {
	s.space()
	start, depth := s.pos, 0
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case '"':
			if err := s.skipText(); err != nil {
				return nil, err
			}
			if depth == 0 {
				return s.data[start:s.pos], nil
			}
			continue
		case '{', '[':
			if depth++; depth > maxDepth {
				return nil, s.fail("values lie too deep in each other")
			}
		case '}', ']':
			if depth == 0 {
				return s.scalar(start)
			}
			if depth--; depth == 0 {
				s.pos++
				return s.data[start:s.pos], nil
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return s.scalar(start)
			}
		}
		s.pos++
	}
	if depth > 0 {
		return nil, s.fail("a bracket has no end")
	}
	return s.scalar(start)
}

// scalar returns a number or a word that ends here.
func (s *jsonScanner) scalar(start int) (json.RawMessage, error) {
	if s.pos == start {
		return nil, s.fail("a value is missing")
	}
	return s.data[start:s.pos], nil
}

// skipText passes a string over.
func (s *jsonScanner) skipText() error {
	for i := s.pos + 1; i < len(s.data); i++ {
		switch s.data[i] {
		case '\\':
			i++
		case '"':
			s.pos = i + 1
			return nil
		}
	}
	return s.fail("a string has no end")
}

// end wants nothing but white space to come.
func (s *jsonScanner) end() error {
	if s.space() != 0 || s.pos < len(s.data) {
		return s.fail("something comes after the value")
	}
	return nil
}

package answer

import "strings"

// scanner checks JSON text (RFC 8259) byte by byte. It keeps what a byte means, not the bytes.
type scanner struct {
	stack []byte // of open '{' and '['
	state scanState
	hex   int    // digits of \u still to come
	word  string // rest of true, false or null
}

type scanState byte

const (
	wantValue     scanState = iota // a value, or space before it
	wantFirst                      // a value or ']'
	wantKey                        // '"' of a key
	wantFirstKey                   // '"' of a key, or '}'
	wantColon                      // ':'
	inKey                          // within a key
	inText                         // within a string
	inKeyEscape                    // after '\' in a key
	inTextEscape                   // after '\' in a string
	inWord                         // within true, false or null
	afterMinus                     // '-' of a number
	afterZero                      // '0' that begins a number
	inDigits                       // digits before a point
	afterPoint                     // '.'
	inFraction                     // digits after it
	afterExponent                  // 'e'
	afterSign                      // sign of an exponent
	inExponent                     // digits of an exponent
	afterValue                     // ',' or the end of what is open
	scanned                        // the outermost value has ended
)

const (
	maxScanDepth    = 64
	hexDigits       = 4
	lastControlByte = 0x1f
)

// depth is how many objects and lists are open.
func (s *scanner) depth() int { return len(s.stack) }

// add takes a byte and says whether the text is JSON so far. After the end of the outermost value it takes none.
func (s *scanner) add(c byte) bool {
	switch s.state {
	case inKey, inText:
		return s.addText(c)
	case inKeyEscape, inTextEscape:
		return s.addEscape(c)
	case inWord:
		return s.addWord(c)
	case afterMinus, afterZero, inDigits, afterPoint, inFraction, afterExponent, afterSign, inExponent:
		if taken, ok := s.addNumber(c); taken || !ok {
			return ok
		}
		return s.addBetween(c)
	case wantValue, wantFirst, wantKey, wantFirstKey, wantColon, afterValue, scanned:
	}
	return s.addBetween(c)
}

// addBetween takes a byte outside of strings, words and numbers.
func (s *scanner) addBetween(c byte) bool {
	if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
		return s.state != scanned
	}
	switch s.state {
	case wantFirst:
		if c == ']' {
			return s.close('[')
		}
		return s.begin(c)
	case wantValue:
		return s.begin(c)
	case wantFirstKey:
		if c == '}' {
			return s.close('{')
		}
		return s.expect(c, '"', inKey)
	case wantKey:
		return s.expect(c, '"', inKey)
	case wantColon:
		return s.expect(c, ':', wantValue)
	case afterValue:
		return s.next(c)
	default:
		return false
	}
}

func (s *scanner) expect(c, want byte, then scanState) bool {
	s.state = then
	return c == want
}

// begin takes the first byte of a value.
func (s *scanner) begin(c byte) bool {
	switch {
	case c == '{' || c == '[':
		if len(s.stack) == maxScanDepth {
			return false
		}
		s.stack = append(s.stack, c)
		s.state = wantFirst
		if c == '{' {
			s.state = wantFirstKey
		}
	case c == '"':
		s.state = inText
	case c == '-':
		s.state = afterMinus
	case c == '0':
		s.state = afterZero
	case c >= '1' && c <= '9':
		s.state = inDigits
	case c == 't':
		s.state, s.word = inWord, "rue"
	case c == 'f':
		s.state, s.word = inWord, "false"[1:]
	case c == 'n':
		s.state, s.word = inWord, "ull"
	default:
		return false
	}
	return true
}

// next takes what follows a value inside an object or a list.
func (s *scanner) next(c byte) bool {
	open := s.stack[len(s.stack)-1]
	switch {
	case c == ',' && open == '{':
		s.state = wantKey
	case c == ',':
		s.state = wantValue
	case c == '}':
		return s.close('{')
	case c == ']':
		return s.close('[')
	default:
		return false
	}
	return true
}

func (s *scanner) close(open byte) bool {
	if len(s.stack) == 0 || s.stack[len(s.stack)-1] != open {
		return false
	}
	s.stack = s.stack[:len(s.stack)-1]
	s.end()
	return true
}

// end is the end of a value.
func (s *scanner) end() {
	s.state = afterValue
	if len(s.stack) == 0 {
		s.state = scanned
	}
}

func (s *scanner) addText(c byte) bool {
	switch {
	case c == '"' && s.state == inKey:
		s.state = wantColon
	case c == '"':
		s.end()
	case c == '\\' && s.state == inKey:
		s.state = inKeyEscape
	case c == '\\':
		s.state = inTextEscape
	case c <= lastControlByte:
		return false
	}
	return true
}

func (s *scanner) addEscape(c byte) bool {
	back := inText
	if s.state == inKeyEscape {
		back = inKey
	}
	if s.hex > 0 {
		if !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
			return false
		}
		if s.hex--; s.hex == 0 {
			s.state = back
		}
		return true
	}
	switch c {
	case 'u':
		s.hex = hexDigits
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.state = back
	default:
		return false
	}
	return true
}

func (s *scanner) addWord(c byte) bool {
	if c != s.word[0] {
		return false
	}
	if s.word = s.word[1:]; s.word == "" {
		s.end()
	}
	return true
}

// addNumber takes a byte within a number, or ends the number before a byte that is not part of it.
func (s *scanner) addNumber(c byte) (taken, ok bool) {
	digit := c >= '0' && c <= '9'
	switch s.state {
	case afterMinus:
		if c == '0' {
			s.state = afterZero
		} else {
			s.state = inDigits
		}
		return true, digit
	case afterPoint:
		s.state = inFraction
		return true, digit
	case afterExponent:
		s.state = afterSign
		if digit {
			s.state = inExponent
		}
		return true, digit || c == '+' || c == '-'
	case afterSign:
		s.state = inExponent
		return true, digit
	case afterZero, inDigits, inFraction, inExponent:
		switch {
		case digit && s.state != afterZero:
			return true, true
		case c == '.' && (s.state == afterZero || s.state == inDigits):
			s.state = afterPoint
			return true, true
		case (c == 'e' || c == 'E') && s.state != inExponent:
			s.state = afterExponent
			return true, true
		}
	default:
	}
	s.end()
	return false, true
}

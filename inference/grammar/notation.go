package grammar

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// scanner reads the notations of grammars.
type scanner struct {
	text string
	at   int
	deep int // of parentheses
}

// fail makes an error at the scanner's place.
func (s *scanner) fail(format string, args ...any) error {
	e := errorf(format, args...)
	e.Where = "line " + strconv.Itoa(1+strings.Count(s.text[:min(s.at, len(s.text))], "\n"))
	return e
}

// peek is the byte at the scanner's place; 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) has(prefix string) bool { return strings.HasPrefix(s.text[s.at:], prefix) }

// take goes on behind a prefix, if it is there.
func (s *scanner) take(prefix string) bool {
	if s.has(prefix) {
		s.at += len(prefix)
		return true
	}
	return false
}

// rune reads one character.
func (s *scanner) rune() rune {
	r, size := utf8.DecodeRuneInString(s.text[s.at:])
	s.at += size
	return r
}

// name reads a name; "" if there is none.
func (s *scanner) name() string {
	from := s.at
	for s.at < len(s.text) {
		if c := s.text[s.at]; c >= utf8.RuneSelf || c != '_' && c != '-' && !unicode.IsLetter(rune(c)) && !unicode.IsDigit(rune(c)) {
			break
		}
		s.at++
	}
	return s.text[from:s.at]
}

// number reads digits; false if there are none, or too many.
func (s *scanner) number() (int, bool) {
	from := s.at
	for s.peek() >= '0' && s.peek() <= '9' {
		s.at++
	}
	n, err := strconv.Atoi(s.text[from:s.at])
	return n, err == nil && n <= maxRepeat
}

// escaped reads what follows a backslash.
func (s *scanner) escaped() (rune, error) {
	if s.at >= len(s.text) {
		return 0, s.fail("a text is not closed")
	}
	switch c := s.rune(); c {
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'f':
		return '\f', nil
	case 'v':
		return '\v', nil
	case 'x':
		return s.hex(2)
	case 'u':
		return s.hex(4)
	case 'U':
		return s.hex(8)
	default:
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return 0, s.fail("an escape is not known")
		}
		return c, nil
	}
}

func (s *scanner) hex(digits int) (rune, error) {
	if s.at+digits > len(s.text) {
		return 0, s.fail("an escape is not complete")
	}
	n, err := strconv.ParseUint(s.text[s.at:s.at+digits], 16, 32)
	if err != nil || n > unicode.MaxRune {
		return 0, s.fail("an escape is not a character")
	}
	s.at += digits
	return rune(n), nil
}

// quoted reads a text between double quotes, of which the first has been read.
func (s *scanner) quoted() (string, error) {
	var b strings.Builder
	for s.at < len(s.text) {
		switch c := s.rune(); c {
		case '"':
			return b.String(), nil
		case '\n':
			return "", s.fail("a text is not closed")
		case '\\':
			r, err := s.escaped()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
		default:
			b.WriteRune(c)
		}
	}
	return "", s.fail("a text is not closed")
}

// again repeats an expression. Of two repetitions that count nothing one is made: x++ is x+.
func again(e expr, low, high int) expr {
	if of, ok := e.(repeated); ok && of.uncounted() && (repeated{nil, low, high}).uncounted() {
		return repeated{of.of, of.min * low, min(of.max, high)}
	}
	return repeated{e, low, high}
}

// uncounted says whether a repetition is *, + or ?.
func (e repeated) uncounted() bool { return e.min <= 1 && (e.max < 0 || e.min == 0 && e.max == 1) }

// symbols are the rules of a grammar by name.
type symbols struct {
	byName  map[string]*rule
	order   []*rule
	defined map[*rule]bool
}

func newSymbols() *symbols { return &symbols{byName: map[string]*rule{}, defined: map[*rule]bool{}} }

func (s *symbols) rule(name string) *rule {
	r := s.byName[name]
	if r == nil {
		r = &rule{name: name}
		s.byName[name] = r
		s.order = append(s.order, r)
	}
	return r
}

// complete finds a rule that is used and not defined.
func (s *symbols) complete() error {
	for _, r := range s.order {
		if !s.defined[r] {
			return &Error{Reason: "a rule is used and not defined", Where: r.name}
		}
	}
	return nil
}

// compileGrammar makes the start rule of a grammar: of GBNF if it has "::=" in it, of Lark otherwise.
func compileGrammar(limit *budget, text string, v *Vocabulary) (*rule, error) {
	if !utf8.ValidString(text) {
		return nil, errorf("the grammar is not UTF-8")
	}
	if isGBNF(text) {
		return parseGBNF(limit, text)
	}
	return parseLark(limit, text, v)
}

// isGBNF says whether a line of a grammar has the sign of GBNF behind a name.
func isGBNF(text string) bool {
	for line := range strings.Lines(text) {
		s := scanner{text: strings.TrimSpace(line)}
		if s.name() != "" {
			s.text, s.at = strings.TrimSpace(s.text[s.at:]), 0
			if s.has("::=") {
				return true
			}
		}
	}
	return false
}

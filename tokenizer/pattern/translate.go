package pattern

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// SyntaxError says what of a pattern is not translated.
type SyntaxError struct {
	Pattern string
	Reason  string
	Offset  int // in bytes
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("pattern %q: %s at byte %d is not supported", e.Pattern, e.Reason, e.Offset)
}

// translator reads Oniguruma's syntax and writes regexp2's.
type translator struct {
	in  string
	pos int
	out strings.Builder
}

// fail reports what begins width bytes before the place reached.
func (t *translator) fail(reason string, at int) error {
	return &SyntaxError{Pattern: t.in, Reason: reason, Offset: at}
}

// translate does the whole pattern.
func translate(pattern string) (string, error) {
	t := translator{in: pattern}
	for t.pos < len(t.in) {
		if err := t.item(); err != nil {
			return "", err
		}
	}
	return t.out.String(), nil
}

// word is the class of what \b looks at.
func writeBoundary(b *strings.Builder, negated bool) {
	var word strings.Builder
	w, _ := classNamed("w")
	w.write(&word)
	if negated {
		fmt.Fprintf(b, "(?:(?<=%[1]s)(?=%[1]s)|(?<!%[1]s)(?!%[1]s))", word.String())
		return
	}
	fmt.Fprintf(b, "(?:(?<=%[1]s)(?!%[1]s)|(?<!%[1]s)(?=%[1]s))", word.String())
}

// item translates one element of the pattern.
func (t *translator) item() error {
	at := t.pos
	r, width := utf8.DecodeRuneInString(t.in[t.pos:])
	t.pos += width
	switch r {
	case '\\':
		return t.escape()
	case '[':
		s, err := t.class(0)
		if err != nil {
			return err
		}
		s.write(&t.out)
	case '(':
		return t.group()
	case '^':
		t.out.WriteString(`(?:(?m:^)(?!\z)|\A)`) // not after a line end that ends the text
	case '$':
		t.out.WriteString(`(?m:$)`)
	case '.':
		t.out.WriteString(`.`)
	case '{':
		return t.interval()
	case '|', ')', '*', '+', '?':
		t.out.WriteRune(r)
	case utf8.RuneError:
		if width == 1 {
			return t.fail("invalid UTF-8", at)
		}
		writeRune(&t.out, r)
	default:
		writeRune(&t.out, r)
	}
	return nil
}

// interval translates {n}, {n,}, {n,m} and {,m}.
func (t *translator) interval() error {
	at := t.pos - 1
	body, rest, ok := strings.Cut(t.in[t.pos:], "}")
	low, high, isRange := strings.Cut(body, ",")
	number := func(s string) bool {
		n, err := strconv.Atoi(s)
		return s == "" || (err == nil && n >= 0 && n <= 1000)
	}
	if !ok || (low == "" && high == "") || !number(low) || !number(high) || (low == "" && !isRange) {
		return t.fail("a brace that is no interval", at)
	}
	if strings.HasPrefix(rest, "+") {
		return t.fail("a quantifier of an interval", at)
	}
	if low == "" {
		body = "0" + body
	}
	t.pos = len(t.in) - len(rest)
	t.out.WriteString("{" + body + "}")
	return nil
}

// group translates what follows an opening parenthesis.
func (t *translator) group() error {
	at := t.pos - 1
	rest := t.in[t.pos:]
	if !strings.HasPrefix(rest, "?") {
		t.out.WriteString("(?:") // nothing refers to groups
		return nil
	}
	for _, known := range []string{"?:", "?=", "?!", "?>", "?<=", "?<!"} {
		if strings.HasPrefix(rest, known) {
			t.out.WriteString("(" + known)
			t.pos += len(known)
			return nil
		}
	}
	end := strings.IndexAny(rest, ":)")
	if end < 0 {
		return t.fail("a group without an end", at)
	}
	var flags strings.Builder
	for _, c := range rest[1:end] {
		switch c {
		case 'i', '-':
			flags.WriteRune(c)
		case 'm':
			flags.WriteByte('s') // the dot matches line ends
		default:
			return t.fail("the group ("+rest[:end+1], at)
		}
	}
	t.pos += end + 1
	t.out.WriteString("(?" + flags.String() + rest[end:end+1])
	return nil
}

// escape translates what follows a backslash outside a class.
func (t *translator) escape() error {
	at := t.pos - 1
	if t.pos < len(t.in) {
		switch c := t.in[t.pos]; c {
		case 'A', 'z', 'Z':
			t.pos++
			t.out.WriteString(`\` + string(c))
			return nil
		case 'b', 'B':
			t.pos++
			writeBoundary(&t.out, c == 'B')
			return nil
		case 'R':
			t.pos++
			t.out.WriteString(`(?>\r\n|[\n\v\f\r\u0085\u2028\u2029])`)
			return nil
		}
	}
	s, r, err := t.escaped(at)
	if err != nil {
		return err
	}
	if s != nil {
		s.write(&t.out)
	} else {
		writeRune(&t.out, r)
	}
	return nil
}

// escaped reads an escape that stands for a class or for one character, in a class or outside.
func (t *translator) escaped(at int) (set, rune, error) {
	if t.pos == len(t.in) {
		return nil, 0, t.fail("a backslash at the end", at)
	}
	r, width := utf8.DecodeRuneInString(t.in[t.pos:])
	t.pos += width
	switch r {
	case 's', 'w', 'd', 'S', 'W', 'D':
		s, _ := classNamed(strings.ToLower(string(r)))
		if r < 'a' {
			s = s.negated()
		}
		return s, 0, nil
	case 'h', 'H':
		s := set{{'0', '9'}, {'A', 'F'}, {'a', 'f'}}
		if r == 'H' {
			s = s.negated()
		}
		return s, 0, nil
	case 'p', 'P':
		s, err := t.property(r == 'P', at)
		return s, 0, err
	case 'r':
		return nil, '\r', nil
	case 'n':
		return nil, '\n', nil
	case 't':
		return nil, '\t', nil
	case 'f':
		return nil, '\f', nil
	case 'v':
		return nil, '\v', nil
	case 'x', 'u':
		c, err := t.hexadecimal(r, at)
		return nil, c, err
	}
	if r >= utf8.RuneSelf || (r >= '0' && r <= '9') || (r >= 'A' && r <= 'Z') || (r >= 'a' && r <= 'z') {
		return nil, 0, t.fail(fmt.Sprintf(`the escape \%c`, r), at)
	}
	return nil, r, nil
}

// hexadecimal reads what follows \x or \u.
func (t *translator) hexadecimal(kind rune, at int) (rune, error) {
	digits, rest := "", t.in[t.pos:]
	switch {
	case kind == 'x' && strings.HasPrefix(rest, "{"):
		body, after, ok := strings.Cut(rest[1:], "}")
		if !ok {
			return 0, t.fail("a brace without an end", at)
		}
		digits, rest = body, after
	case kind == 'x' && len(rest) >= 2:
		digits, rest = rest[:2], rest[2:]
	case kind == 'u' && len(rest) >= 4:
		digits, rest = rest[:4], rest[4:]
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || n > utf8.MaxRune || (kind == 'x' && n > 0x7f && len(digits) == 2) {
		return 0, t.fail("a hexadecimal escape", at)
	}
	t.pos = len(t.in) - len(rest)
	return rune(n), nil
}

// property reads what follows \p or \P.
func (t *translator) property(negated bool, at int) (set, error) {
	rest := t.in[t.pos:]
	name := ""
	if strings.HasPrefix(rest, "{") {
		body, after, ok := strings.Cut(rest[1:], "}")
		if !ok {
			return nil, t.fail("a brace without an end", at)
		}
		name, rest = body, after
		if after, ok := strings.CutPrefix(name, "^"); ok {
			name, negated = after, !negated
		}
	} else if rest != "" {
		name, rest = rest[:1], rest[1:]
	}
	s, ok := set(nil), false
	if name == "" || (name[0] >= 'A' && name[0] <= 'Z') {
		s, ok = classNamed(name)
	}
	if !ok {
		return nil, t.fail(fmt.Sprintf("the property %q", name), at)
	}
	t.pos = len(t.in) - len(rest)
	if negated {
		s = s.negated()
	}
	return s, nil
}

// maxNesting bounds how deep classes lie in each other.
const maxNesting = 8

// class reads a class after its opening bracket.
func (t *translator) class(depth int) (set, error) {
	at := t.pos - 1
	if depth == maxNesting {
		return nil, t.fail("classes in classes this deep", at)
	}
	negated := strings.HasPrefix(t.in[t.pos:], "^")
	if negated {
		t.pos++
	}
	var s set
	for first := true; ; first = false {
		rest := t.in[t.pos:]
		switch {
		case rest == "":
			return nil, t.fail("a class without an end", at)
		case strings.HasPrefix(rest, "[:"), strings.HasPrefix(rest, "&&"):
			return nil, t.fail(fmt.Sprintf("%q in a class", rest[:2]), t.pos)
		case rest[0] == ']' && first:
			return nil, t.fail("an empty class", at)
		case rest[0] == ']':
			t.pos++
			s = s.tidy()
			if negated {
				s = s.negated()
			}
			return s, nil
		case rest[0] == '[':
			t.pos++
			inner, err := t.class(depth + 1)
			if err != nil {
				return nil, err
			}
			s = append(s, inner...)
			continue
		}
		inner, low, err := t.member()
		if err != nil {
			return nil, err
		}
		if inner != nil {
			s = append(s, inner...)
			continue
		}
		high := low
		if rest := t.in[t.pos:]; len(rest) > 1 && rest[0] == '-' && rest[1] != ']' {
			t.pos++
			inner, r, err := t.member()
			if err != nil {
				return nil, err
			}
			if high = r; inner != nil || high < low {
				return nil, t.fail("a range without two ends", at)
			}
		}
		s = append(s, span{low, high})
	}
}

// member reads one character of a class, or a class that an escape stands for.
func (t *translator) member() (set, rune, error) {
	at := t.pos
	r, width := utf8.DecodeRuneInString(t.in[t.pos:])
	t.pos += width
	if r == '\\' {
		if rest := t.in[t.pos:]; strings.HasPrefix(rest, "w") || strings.HasPrefix(rest, "W") {
			t.pos++
			return wordInClass(rest[0] == 'W'), 0, nil
		}
		return t.escaped(at)
	}
	if r == utf8.RuneError && width <= 1 {
		return nil, 0, t.fail("invalid UTF-8", at)
	}
	return nil, r, nil
}

// wordInClass returns \w or \W as they are in a class: without the six numbers of Latin-1 that Oniguruma takes for word
// characters outside of classes, where it looks bytes up in a table of their own.
func wordInClass(negated bool) set {
	word, _ := classNamed("w")
	others := append(word.negated(), span{'\u00b2', '\u00b3'}, span{'\u00b9', '\u00b9'}, span{'\u00bc', '\u00be'}).tidy()
	if negated {
		return others
	}
	return others.negated()
}

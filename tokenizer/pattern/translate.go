package pattern

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
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
	in     string
	pos    int
	out    strings.Builder
	groups []group // those that are open, the whole pattern first
	letter rune    // the character before, if case does not count: it may fold together with the next
}

// group is an open group.
type group struct {
	fold   bool // case does not count
	behind bool // within a look-behind
	closes int  // groups that end with it: an option such as (?i) begins one, up to the end and over every |
}

// open begins a group.
func (t *translator) open(fold, behind bool) {
	t.groups = append(t.groups, group{fold: fold, behind: behind || t.top().behind})
}

// top returns the innermost group.
func (t *translator) top() *group { return &t.groups[len(t.groups)-1] }

// close ends a group.
func (t *translator) close() {
	for range t.top().closes {
		t.out.WriteByte(')')
	}
	if t.groups = t.groups[:len(t.groups)-1]; len(t.groups) == 0 { // regexp2 says what is wrong
		t.groups = []group{{}}
	}
}

// fail reports what begins width bytes before the place reached.
func (t *translator) fail(reason string, at int) error {
	return &SyntaxError{Pattern: t.in, Reason: reason, Offset: at}
}

// maxTranslated bounds the length in bytes of what a pattern becomes. A class of a few characters can become thousands,
// and regexp2 takes time for each.
const maxTranslated = 1 << 18

// translate does the whole pattern.
func translate(pattern string) (string, error) {
	t := translator{in: pattern, groups: []group{{}}}
	for t.pos < len(t.in) {
		if err := t.item(); err != nil {
			return "", err
		}
		if t.out.Len() > maxTranslated {
			return "", t.fail("so many classes of characters", t.pos)
		}
	}
	t.close()
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
	letter := t.letter
	if r != '(' && r != ')' {
		t.letter = 0
	}
	switch r {
	case '\\':
		return t.escape()
	case '[':
		s, err := t.class(0)
		if err != nil {
			return err
		}
		if err := t.set(s, at); err != nil {
			return err
		}
	case '(':
		return t.group()
	case ')':
		t.close()
		t.out.WriteByte(')')
	case '^':
		t.out.WriteString(`(?:(?m:^)(?!\z)|\A)`) // not after a line end that ends the text
	case '$':
		t.out.WriteString(`(?m:$)`)
	case '.':
		t.out.WriteString(`.`)
	case '{':
		return t.interval()
	case '|', '*', '+', '?':
		t.out.WriteRune(r)
	case utf8.RuneError:
		if width == 1 {
			return t.fail("invalid UTF-8", at)
		}
		return t.literal(r, letter, at)
	default:
		return t.literal(r, letter, at)
	}
	return nil
}

// literal translates one character. Where case does not count, Oniguruma takes a character for several that it folds to
// ("ss" matches "\u00df"), which regexp2 does not, and the two fold other letters than those of English by other tables.
func (t *translator) literal(r, before rune, at int) error {
	if t.top().fold {
		if r >= utf8.RuneSelf {
			return t.fail(fmt.Sprintf("the character %q where case does not count", r), at)
		}
		t.letter = unicode.ToLower(r)
		switch pair := string([]rune{before, t.letter}); pair {
		case "ss", "st", "ff", "fi", "fl":
			return t.fail(fmt.Sprintf("%q where case does not count", pair), at)
		}
	}
	writeRune(&t.out, r)
	return nil
}

// set translates a class.
func (t *translator) set(s set, at int) error {
	if t.top().fold && s.folds() {
		return t.fail("a class of other letters than a to z where case does not count", at)
	}
	s.write(&t.out)
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

// maxGroups bounds how deep groups lie in each other.
const maxGroups = 200

// group translates what follows an opening parenthesis.
func (t *translator) group() error {
	at := t.pos - 1
	rest := t.in[t.pos:]
	if len(t.groups) > maxGroups {
		return t.fail("groups in groups this deep", at)
	}
	if !strings.HasPrefix(rest, "?") {
		t.out.WriteString("(?:") // nothing refers to groups
		t.open(t.top().fold, false)
		return nil
	}
	for _, known := range []string{"?:", "?=", "?!", "?>", "?<=", "?<!"} {
		if strings.HasPrefix(rest, known) {
			t.open(t.top().fold, strings.HasPrefix(known, "?<"))
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
	fold, on := t.top().fold, true
	for _, c := range rest[1:end] {
		switch c {
		case '-':
			on = false
			flags.WriteRune(c)
		case 'i':
			fold = on
			flags.WriteRune(c)
		case 'm':
			flags.WriteByte('s') // the dot matches line ends
		default:
			return t.fail("the group ("+rest[:end+1], at)
		}
	}
	t.pos += end + 1
	t.out.WriteString("(?" + flags.String() + ":")
	if rest[end] == ':' {
		t.open(fold, false)
		return nil
	}
	t.top().fold = fold
	t.top().closes++
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
			if t.top().behind {
				return t.fail(`\R in a look-behind`, at)
			}
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
		return t.set(s, at)
	}
	return t.literal(r, 0, at)
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

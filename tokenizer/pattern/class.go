package pattern

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

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

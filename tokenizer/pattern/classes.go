package pattern

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

//go:embed classes.txt
var classesText string

// span is a range of code points, both ends in it.
type span struct{ first, last rune }

// set holds spans in order, apart from each other.
type set []span

// classNamed finds a class of classes.txt: "s", "w", "d", a general category of one or two letters, or a script.
func classNamed(name string) (set, bool) {
	var out set
	found := false
	for line := range strings.Lines(classesText) {
		key, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if key != name && (len(name) != 1 || len(key) != 2 || key[0] != name[0]) {
			continue
		}
		found = true
		for field := range strings.SplitSeq(rest, " ") {
			first, last, isRange := strings.Cut(field, "-")
			if !isRange {
				last = first
			}
			out = append(out, span{hex(first), hex(last)})
		}
	}
	return out.tidy(), found
}

// hex reads a number of a file that is ours.
func hex(text string) rune {
	n, err := strconv.ParseUint(text, 16, 32)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}

// tidy sorts the spans and joins those that touch.
func (s set) tidy() set {
	slices.SortFunc(s, func(a, b span) int { return int(a.first) - int(b.first) })
	var out set
	for _, x := range s {
		if n := len(out); n > 0 && x.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, x.last)
			continue
		}
		out = append(out, x)
	}
	return out
}

// negated returns all other code points.
func (s set) negated() set {
	var out set
	next := rune(0)
	for _, x := range s {
		if x.first > next {
			out = append(out, span{next, x.first - 1})
		}
		next = x.last + 1
	}
	if next <= utf8.MaxRune {
		out = append(out, span{next, utf8.MaxRune})
	}
	return out
}

// folds reports whether the set holds letters that have a case, and not those of ASCII alone.
func (s set) folds() bool {
	ascii := len(s) == 0 || s[len(s)-1].last < utf8.RuneSelf
	for _, x := range s {
		for r := x.first; r <= x.last && !ascii; r++ {
			if unicode.SimpleFold(r) != r {
				return true
			}
		}
	}
	return false
}

// write appends the set as a class of regexp2, with the code points themselves.
func (s set) write(b *strings.Builder) {
	if len(s) == 0 {
		b.WriteString("(?!)")
		return
	}
	b.WriteByte('[')
	for _, x := range s {
		writeRune(b, x.first)
		if x.last > x.first {
			b.WriteByte('-')
			writeRune(b, x.last)
		}
	}
	b.WriteByte(']')
}

// writeRune appends one character so that it means itself, in a class or outside.
func writeRune(b *strings.Builder, r rune) {
	switch {
	case r >= utf8.RuneSelf && (r < 0xd800 || r > 0xdfff):
		b.WriteRune(r)
	case r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z':
		b.WriteByte(byte(r))
	default:
		const digits = "0123456789abcdef"
		b.WriteString(`\u`)
		for shift := 12; shift >= 0; shift -= 4 {
			b.WriteByte(digits[r>>shift&15])
		}
	}
}

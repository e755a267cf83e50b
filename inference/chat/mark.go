package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ardanlabs/jinja"
)

// How literal text is told apart. Before a render, in each text of the caller, one character of whatever could become
// part of a special token is replaced by an alias, a private-use character that occurs nowhere else. The template
// sees texts of the same length that trim, split and print like the originals; where it compares or searches, the
// guards show it the original. In the result each alias becomes its character again, and its place is a literal
// range: whoever matches special tokens and leaves the ranges alone cannot match one that the caller spelled.
//
// Marked are one character of each special token that stands in a text in full, and a text's first and last
// character where the text could complete a token that the template began or will end. Such ends are looked at with
// and without the white space around the text, since templates trim. A role in plain letters is exempt from the
// second rule: templates do build their tokens from roles.

// marker finds the characters to mark. It does not change and is safe for concurrent use.
type marker struct {
	specials []special
	prefixes map[string]struct{} // proper prefixes of special tokens: how one can begin at a text's end
	suffixes map[string]struct{} // proper suffixes
	longest  int                 // bytes of the longest special token
}

type special struct {
	text string
	mark int // offset of the character to mark
}

func newMarker(texts []string) *marker {
	m := &marker{prefixes: map[string]struct{}{}, suffixes: map[string]struct{}{}}
	for _, s := range texts {
		if s == "" {
			continue
		}
		m.specials = append(m.specials, special{text: s, mark: markOffset(s)})
		m.longest = max(m.longest, len(s))
		for i := range s {
			if i > 0 {
				m.prefixes[s[:i]] = struct{}{}
				m.suffixes[s[i:]] = struct{}{}
			}
		}
	}
	return m
}

// markOffset prefers punctuation, which no template changes the case of or strips.
func markOffset(s string) int {
	visible := 0
	for i, c := range s {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !isSpace(c) {
			return i
		}
		if visible == 0 && isSpace(rune(s[0])) && !isSpace(c) {
			visible = i
		}
	}
	return visible
}

// positions are the offsets in s of the characters to mark, as a set.
func (m *marker) positions(s string, edges bool) map[int]struct{} {
	var marks map[int]struct{}
	add := func(i int) {
		if marks == nil {
			marks = map[int]struct{}{}
		}
		marks[i] = struct{}{}
	}
	for _, sp := range m.specials {
		for start := 0; ; {
			i := strings.Index(s[start:], sp.text)
			if i < 0 {
				break
			}
			add(start + i + sp.mark)
			start += i + 1
		}
	}
	if !edges || s == "" {
		return marks
	}
	core := strings.TrimFunc(s, isSpace)
	offset := strings.Index(s, core)
	for _, edge := range []struct {
		text   string
		offset int
	}{{s, 0}, {core, offset}} {
		first, last := m.edges(edge.text)
		if first {
			add(edge.offset)
		}
		if last {
			_, size := utf8.DecodeLastRuneInString(edge.text)
			add(edge.offset + len(edge.text) - size)
		}
	}
	return marks
}

// edges says whether a token can reach into s over its begin, or out of it over its end.
func (m *marker) edges(s string) (first, last bool) {
	for n := 1; n <= len(s) && n < m.longest; n++ {
		if _, ok := m.suffixes[s[:n]]; ok {
			first = true
		}
		if _, ok := m.prefixes[s[len(s)-n:]]; ok {
			last = true
		}
	}
	if s != "" && len(s) < m.longest && !first {
		for _, sp := range m.specials {
			if len(s) < len(sp.text) && strings.Contains(sp.text, s) {
				return true, last
			}
		}
	}
	return first, last
}

// apply marks the caller's texts in vars and returns what was marked.
func (m *marker) apply(vars map[string]jinja.Value, source string) *aliases {
	a := &aliases{marker: m, alias: map[rune]rune{}, original: map[rune]rune{}, used: map[rune]struct{}{}}
	if len(m.specials) == 0 {
		return a
	}
	a.note(source)
	for _, v := range vars {
		walkTexts(v, a.note)
	}
	for name, v := range vars {
		if name != "bos_token" && name != "eos_token" {
			vars[name] = a.mark(v, true)
		}
	}
	return a
}

// walkTexts calls f with every text in v.
func walkTexts(v jinja.Value, f func(string)) {
	switch {
	case v.IsString():
		f(v.AsString())
	case v.IsList():
		for _, item := range v.AsList().Items {
			walkTexts(item, f)
		}
	case v.IsDict():
		for _, key := range v.AsDict().Keys {
			f(key)
			walkTexts(v.AsDict().Data[key], f)
		}
	}
}

// isName says whether s is a role's or a switch's plain name.
func isName(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		return c != '_' && c != '-' && !unicode.IsLetter(c) && !unicode.IsDigit(c)
	})
}

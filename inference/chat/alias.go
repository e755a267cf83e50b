package chat

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ardanlabs/jinja"
)

// aliases are the private-use characters that stand for marked ones in one render.
type aliases struct {
	marker   *marker
	alias    map[rune]rune
	original map[rune]rune
	used     map[rune]struct{} // private-use characters of the template and of the caller
	next     rune
}

const (
	privateFirst = 0xE000
	privateLast  = 0xF8FF
	planeFirst   = 0xF0000
	planeLast    = 0x10FFFD
)

func isPrivate(c rune) bool {
	return (c >= privateFirst && c <= privateLast) || (c >= planeFirst && c <= planeLast)
}

// note remembers the private-use characters of a text, so that none of them becomes an alias.
func (a *aliases) note(s string) {
	for i, c := range s {
		if c == '\\' {
			c, _ = escaped(s[i:])
		}
		if isPrivate(c) {
			a.used[c] = struct{}{}
		}
	}
}

// escaped is the character that s begins with in the form of JSON in ASCII, \u and four digits: what the filter tojson
// makes of an alias where a template asks for ASCII.
func escaped(s string) (rune, bool) {
	const length = len(`\u0000`)
	if len(s) < length || s[1] != 'u' {
		return 0, false
	}
	c, err := strconv.ParseUint(s[2:length], 16, 16)
	return rune(c), err == nil
}

// aliasOf is the alias of a character. A text that uses up all 137,000 private-use characters leaves none, and the
// characters then stay as they are; no budgeted input is that varied without being refused elsewhere.
func (a *aliases) aliasOf(c rune) rune {
	if alias, ok := a.alias[c]; ok {
		return alias
	}
	alias, ok := a.reserve()
	if !ok {
		return c
	}
	a.alias[c], a.original[alias] = alias, c
	return alias
}

// reserve is a private-use character that nothing of this render contains and that stands for no other one.
func (a *aliases) reserve() (rune, bool) {
	if a.next == 0 {
		a.next = privateFirst
	}
	for ; a.next <= planeLast; a.next++ {
		if a.next == privateLast+1 {
			a.next = planeFirst
		}
		if _, taken := a.used[a.next]; !taken {
			a.next++
			return a.next - 1, true
		}
	}
	return 0, false
}

// mark is a value with its texts marked. Lists and dicts are copied.
func (a *aliases) mark(v jinja.Value, edges bool) jinja.Value {
	switch {
	case v.IsString():
		return jinja.NewString(a.markText(v.AsString(), edges))
	case v.IsList():
		items := make([]jinja.Value, v.AsList().Len())
		for i, item := range v.AsList().Items {
			items[i] = a.mark(item, edges)
		}
		return jinja.NewList(items)
	case v.IsDict():
		marked := jinja.NewDict()
		dict := v.AsDict()
		for _, key := range dict.Keys {
			value := dict.Data[key]
			role := key == "role" && value.IsString() && isName(value.AsString())
			marked.AsDict().Set(a.markText(key, edges && !isName(key)), a.mark(value, edges && !role))
		}
		return marked
	}
	return v
}

func (a *aliases) markText(s string, edges bool) string {
	marks := a.marker.positions(s, edges)
	if len(marks) == 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 3*len(marks))
	for i, c := range s {
		if _, ok := marks[i]; ok {
			b.WriteRune(a.aliasOf(c))
			continue
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		b.WriteString(s[i : i+size])
	}
	return b.String()
}

// plainRune is the character that c stands for.
func (a *aliases) plainRune(c rune) rune {
	if original, ok := a.original[c]; ok {
		return original
	}
	return c
}

// plain is s without marks.
func (a *aliases) plain(s string) string {
	if len(a.original) == 0 || !strings.ContainsFunc(s, func(c rune) bool { return a.original[c] != 0 }) {
		return s
	}
	return strings.Map(a.plainRune, s)
}

// plainValue is v without marks in its texts; it copies only what had some.
func (a *aliases) plainValue(v jinja.Value) jinja.Value {
	if len(a.original) == 0 {
		return v
	}
	marked := false
	walkTexts(v, func(s string) { marked = marked || a.plain(s) != s })
	if !marked {
		return v
	}
	switch {
	case v.IsString():
		return jinja.NewString(a.plain(v.AsString()))
	case v.IsList():
		items := make([]jinja.Value, v.AsList().Len())
		for i, item := range v.AsList().Items {
			items[i] = a.plainValue(item)
		}
		return jinja.NewList(items)
	default:
		plain := jinja.NewDict()
		for _, key := range v.AsDict().Keys {
			plain.AsDict().Set(a.plain(key), a.plainValue(v.AsDict().Data[key]))
		}
		return plain
	}
}

// offset is a place after a mark: the offset in the plain text, and by how much the marked text is ahead there.
type offset struct{ plain, shift int }

// offsets are the places after each mark of s, ascending.
func (a *aliases) offsets(s string) []offset {
	var out []offset
	shift := 0
	for i, c := range s {
		original, ok := a.original[c]
		if !ok {
			continue
		}
		at := i - shift + utf8.RuneLen(original)
		shift += utf8.RuneLen(c) - utf8.RuneLen(original)
		out = append(out, offset{plain: at, shift: shift})
	}
	return out
}

// restore puts the original characters back into a rendered text and says where they are.
func (a *aliases) restore(s string) (string, []Range) {
	if len(a.original) == 0 {
		return s, nil
	}
	var b strings.Builder
	b.Grow(len(s))
	var literal []Range
	for i := 0; i < len(s); {
		c, size := utf8.DecodeRuneInString(s[i:])
		original, ok := a.original[c]
		inASCII := false
		if c == '\\' {
			if c, inASCII = escaped(s[i:]); inASCII {
				original, ok = a.original[c]
			}
		}
		if !ok {
			b.WriteString(s[i : i+size])
			i += size
			continue
		}
		start := b.Len()
		switch {
		case !inASCII:
			i += size
			b.WriteRune(original)
		case original < utf8.RuneSelf:
			i += len(`\u0000`)
			b.WriteRune(original)
		default:
			i += len(`\u0000`)
			fmt.Fprintf(&b, `\u%04x`, original)
		}
		if n := len(literal); n > 0 && literal[n-1].End == start {
			literal[n-1].End = b.Len()
			continue
		}
		literal = append(literal, Range{Start: start, End: b.Len()})
	}
	return b.String(), literal
}

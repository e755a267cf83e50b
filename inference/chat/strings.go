package chat

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"github.com/ardanlabs/jinja"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// Our own forms of the string operations that either multiply their input, so that the size is checked before the
// result is made, or whose result is a part of the caller's text, so that they must find what the caller wrote and
// keep the marks in it. They do what Python's methods do.

// method is v.name for a name of ownMethods.
func (r *render) method(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	v, name := args[0], args[1].AsString()
	if v.IsDict() {
		member, _ := v.AsDict().Get(name)
		return member, nil
	}
	if !v.IsString() {
		return jinja.Undefined(), nil
	}
	s := v.AsString()
	methods := map[string]function{
		"split":   func(a []jinja.Value, k map[string]jinja.Value) (jinja.Value, error) { return r.split(s, a, k) },
		"replace": func(a []jinja.Value, k map[string]jinja.Value) (jinja.Value, error) { return r.replace(s, a, k) },
		"format":  func(a []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) { return r.strFormat(s, a) },
		"strip":   func(a []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) { return r.strip(s, a, true, true) },
		"lstrip": func(a []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
			return r.strip(s, a, true, false)
		},
		"rstrip": func(a []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
			return r.strip(s, a, false, true)
		},
		"upper": func([]jinja.Value, map[string]jinja.Value) (jinja.Value, error) {
			return changeCase(cases.Upper(language.Und), s), nil
		},
		"lower": func([]jinja.Value, map[string]jinja.Value) (jinja.Value, error) {
			return changeCase(cases.Lower(language.Und), s), nil
		},
	}
	return jinja.NewCallable("str."+name, methods[name]), r.meter.spend(evaluationCost)
}

// argument is a positional or named argument, if given and not none.
func argument(args []jinja.Value, kwargs map[string]jinja.Value, index int, name string) (jinja.Value, bool) {
	v, ok := kwargs[name]
	if !ok && index < len(args) {
		v, ok = args[index], true
	}
	return v, ok && !v.IsNone()
}

func (r *render) split(s string, args []jinja.Value, kwargs map[string]jinja.Value) (jinja.Value, error) {
	limit := -1
	if v, ok := argument(args, kwargs, 1, "maxsplit"); ok && v.IsInt() {
		limit = int(v.AsInt())
	}
	var parts []string
	if sep, ok := argument(args, kwargs, 0, "sep"); !ok {
		parts = splitSpace(s, limit)
	} else {
		separator := r.aliases.plain(text(sep))
		if separator == "" {
			return jinja.Undefined(), errors.New("split: empty separator")
		}
		plain := r.aliases.plain(s)
		if strings.Count(plain, separator) > r.meter.limits.Items {
			return jinja.Undefined(), &LimitError{What: "the items of a list", Limit: r.meter.limits.Items}
		}
		parts = r.aliases.pieces(s, plain, separator, limit)
	}
	if err := r.meter.items(len(parts)); err != nil {
		return jinja.Undefined(), err
	}
	items := make([]jinja.Value, len(parts))
	for i, part := range parts {
		items[i] = jinja.NewString(part)
	}
	return jinja.NewList(items), r.meter.spend(len(s))
}

// splitSpace splits at runs of white space, at most limit times if that is not negative.
func splitSpace(s string, limit int) []string {
	if limit < 0 {
		return strings.FieldsFunc(s, isSpace)
	}
	var parts []string
	for s = strings.TrimLeftFunc(s, isSpace); s != ""; s = strings.TrimLeftFunc(s, isSpace) {
		end := strings.IndexFunc(s, isSpace)
		if end < 0 || len(parts) == limit {
			return append(parts, s)
		}
		parts = append(parts, s[:end])
		s = s[end:]
	}
	return parts
}

func (r *render) replace(s string, args []jinja.Value, kwargs map[string]jinja.Value) (jinja.Value, error) {
	if len(args) < 2 {
		return jinja.Undefined(), errors.New("replace: expected the old and the new text")
	}
	old, replacement := r.aliases.plain(text(args[0])), text(args[1])
	limit := -1
	if v, ok := argument(args, kwargs, 2, "count"); ok && v.IsInt() {
		limit = int(v.AsInt())
	}
	plain := r.aliases.plain(s)
	found := strings.Count(plain, old)
	if limit >= 0 {
		found = min(found, limit)
	}
	if err := r.meter.size(len(s) + found*len(replacement)); err != nil {
		return jinja.Undefined(), err
	}
	if old == "" {
		return jinja.NewString(strings.Replace(s, old, replacement, limit)), nil
	}
	return jinja.NewString(strings.Join(r.aliases.pieces(s, plain, old, limit), replacement)), nil
}

func (r *render) filterReplace(args []jinja.Value, kwargs map[string]jinja.Value) (jinja.Value, error) {
	if len(args) < 3 {
		return jinja.Undefined(), errors.New("replace: expected the old and the new text")
	}
	return r.replace(text(args[0]), args[1:], kwargs)
}

// strip removes white space, or the characters of its argument, from the ends.
func (r *render) strip(s string, args []jinja.Value, left, right bool) (jinja.Value, error) {
	drop := isSpace
	if len(args) > 0 && !args[0].IsNone() {
		chars := r.aliases.plain(text(args[0]))
		drop = func(c rune) bool { return strings.ContainsRune(chars, r.aliases.plainRune(c)) }
	}
	if left {
		s = strings.TrimLeftFunc(s, drop)
	}
	if right {
		s = strings.TrimRightFunc(s, drop)
	}
	return jinja.NewString(s), r.meter.spend(len(s))
}

func (r *render) filterTrim(args []jinja.Value, kwargs map[string]jinja.Value) (jinja.Value, error) {
	if len(args) == 0 {
		return jinja.NewString(""), nil
	}
	var chars []jinja.Value
	if v, ok := argument(args, kwargs, 1, "chars"); ok {
		chars = []jinja.Value{v}
	}
	return r.strip(text(args[0]), chars, true, true)
}

// strFormat fills {} and {0} with positional arguments; {{ and }} are braces. Other fields are an error.
func (r *render) strFormat(s string, args []jinja.Value) (jinja.Value, error) {
	var b strings.Builder
	next := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '{' && c != '}' {
			b.WriteByte(c)
			continue
		}
		if i+1 < len(s) && s[i+1] == c {
			b.WriteByte(c)
			i++
			continue
		}
		end := strings.IndexByte(s[i:], '}')
		if c == '}' || end < 0 {
			return jinja.Undefined(), fmt.Errorf("format: a single %q in the format", c)
		}
		index := next
		if name := s[i+1 : i+end]; name != "" {
			n, err := strconv.Atoi(name)
			if err != nil {
				return jinja.Undefined(), errors.New("format: only {} and {0} are supported")
			}
			index = n
		} else {
			next++
		}
		if index < 0 || index >= len(args) {
			return jinja.Undefined(), fmt.Errorf("format: no argument %d", index)
		}
		value := text(args[index])
		if err := r.meter.size(b.Len() + len(value)); err != nil {
			return jinja.Undefined(), err
		}
		b.WriteString(value)
		i += end
	}
	return jinja.NewString(b.String()), r.meter.spend(len(s))
}

// isSpace says what Python strips.
func isSpace(c rune) bool { return unicode.IsSpace(c) || (c >= '\x1c' && c <= '\x1f') }

// pieces splits marked at the places where separator occurs in plain, the same text without marks.
func (a *aliases) pieces(marked, plain, separator string, limit int) []string {
	if marked == plain {
		if limit >= 0 {
			limit++
		} else {
			limit = -1
		}
		return strings.SplitN(marked, separator, limit)
	}
	offsets := a.offsets(marked)
	at := func(i int) int { // the offset in marked of an offset in plain
		k := sort.Search(len(offsets), func(k int) bool { return offsets[k].plain > i })
		if k == 0 {
			return i
		}
		return i + offsets[k-1].shift
	}
	var parts []string
	start := 0
	for limit < 0 || len(parts) < limit {
		i := strings.Index(plain[start:], separator)
		if i < 0 {
			break
		}
		parts = append(parts, marked[at(start):at(start+i)])
		start += i + len(separator)
	}
	return append(parts, marked[at(start):])
}

// changeCase maps whole strings as Python does: one character can become several.
func changeCase(c cases.Caser, s string) jinja.Value { return jinja.NewString(c.String(s)) }

func filterCase(c cases.Caser) function {
	return func(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
		if len(args) == 0 {
			return jinja.NewString(""), nil
		}
		return changeCase(c, text(args[0])), nil
	}
}

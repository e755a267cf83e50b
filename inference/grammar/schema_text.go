package grammar

import (
	"strings"
)

// text is the expression of the strings that satisfy schemas. It is made once for the same keywords.
func (s *schemas) text(set []part) expr { return s.once(set, "string", typeString, s.newText) }

// once makes what the keywords of a type say, unless the same keywords have been met before.
func (s *schemas) once(set []part, kind string, t types, build func(set []part) expr) expr {
	var key strings.Builder
	key.WriteString(kind)
	for _, p := range set {
		for _, keyword := range keywordsOf(t) {
			if v := p.schema.get(keyword); v != nil {
				s.fail(s.budget.spend(len(v.text)))
				key.WriteString("," + keyword + ":" + v.canonicalText())
			}
		}
	}
	if e := s.texts[key.String()]; e != nil {
		return e
	}
	s.fail(s.budget.keep(300 + key.Len()))
	e := build(set)
	s.texts[key.String()] = e
	return e
}

func (s *schemas) newText(set []part) expr {
	least, most := int32(0), int32(-1)
	var content *dfa
	restrict := func(at *value, keyword string, d *dfa, err error) {
		if err == nil && content != nil {
			d, err = intersect(s.budget, content, d)
		}
		if err != nil {
			s.refuseError(at, keyword, err)
			return
		}
		content = d
	}
	for _, p := range set {
		low, high := s.count(p.schema, "minLength"), s.count(p.schema, "maxLength")
		if low > 0 {
			least = max(least, low)
		}
		if high >= 0 && (most < 0 || high < most) {
			most = high
		}
		if pattern := p.schema.get("pattern"); pattern != nil {
			d, err := s.patternDFA(pattern)
			restrict(p.schema, "pattern", d, err)
		}
		if pattern := p.schema.get(keyNotPattern); pattern != nil {
			d, err := s.withoutPattern(pattern)
			restrict(p.schema, "pattern", d, err)
		}
		if format := p.schema.get("format"); format != nil {
			d, err := s.shared.format(format)
			if d != nil || err != nil {
				restrict(p.schema, "format", d, err)
			}
		}
		if s.err != nil {
			return nothing{}
		}
	}
	if most >= 0 && most < least {
		return nothing{}
	}
	if excluded := s.excluded(set); len(excluded) > 0 {
		d, err := s.withoutStrings(excluded)
		restrict(set[0].schema, "enum", d, err)
		if s.err != nil {
			return nothing{}
		}
	}
	if content == nil {
		return token{&terminal{dfa: s.json.text.dfa, counts: true, min: least, max: most}}
	}
	if content.empty() {
		return nothing{}
	}
	return s.ofLengths(set[0].schema, content, least, most)
}

// ofLengths is the expression of the strings of an automaton that have least to most characters; most -1: or more.
func (s *schemas) ofLengths(at *value, content *dfa, least, most int32) expr {
	if least == 0 && most < 0 {
		return token{&terminal{dfa: content}}
	}
	keyword := "minLength"
	if least == 0 {
		keyword = "maxLength"
	}
	d, err := measured(s.budget, content, s.json.text.dfa, least)
	switch {
	case err != nil:
		s.refuseError(at, keyword, err)
		return nothing{}
	case d.empty() || most >= 0 && d.needs[0] > most:
		return nothing{}
	}
	if most >= 0 {
		if longest := d.longest(); longest < 0 || longest > most {
			return token{&terminal{dfa: d, counts: true, max: most}}
		}
	}
	if least == 0 { // and the strings are never longer than most
		return token{&terminal{dfa: content}}
	}
	d.begins, d.needs, d.close = nil, nil, -1
	return token{&terminal{dfa: d}}
}

// refuseError refuses a keyword for the reason of an error.
func (s *schemas) refuseError(at *value, keyword string, err error) {
	reason := err.Error()
	if e, ok := err.(*Error); ok { //nolint:errorlint // ours, never wrapped
		reason = e.Reason
	}
	s.refuse(at, keyword, reason)
}

// count is the value of a keyword that counts; -1 if it is not set.
func (s *schemas) count(at *value, keyword string) int32 {
	v := at.get(keyword)
	if v == nil {
		return -1
	}
	r := v.rational()
	if r == nil || !r.IsInt() || r.Sign() < 0 {
		s.refuse(at, keyword, "must be a whole number from 0")
		return -1
	}
	if !r.Num().IsInt64() || r.Num().Int64() > maxRepeat {
		if strings.HasPrefix(keyword, "max") {
			return maxRepeat // which no answer reaches
		}
		s.refuse(at, keyword, "exceeds the limit of "+itoa(maxRepeat))
		return -1
	}
	return int32(r.Num().Int64())
}

// withoutStrings is the automaton of the JSON strings but for some, given as JSON.
func (s *schemas) withoutStrings(excluded map[string]bool) (*dfa, error) {
	var texts []string
	for text := range excluded {
		if text[0] == '"' {
			texts = append(texts, text)
		}
	}
	return s.withoutTexts(texts)
}

// patternDFA is the automaton of the JSON strings in which a pattern is found.
func (s *schemas) patternDFA(pattern *value) (*dfa, error) {
	if pattern.kind != isString {
		return nil, errorf("must be a string")
	}
	return s.pattern(pattern.text, false)
}

// withoutPattern is the automaton of the JSON strings in which a pattern is found by no dialect.
func (s *schemas) withoutPattern(pattern *value) (*dfa, error) {
	if pattern.kind != isString {
		return nil, errorf("must be a string")
	}
	d, err := s.pattern(pattern.text, true)
	if err != nil {
		return nil, err
	}
	return subtract(s.budget, s.shared.name, d)
}

// pattern is the automaton of the JSON strings in which an expression is found by all dialects, or by any of them. It is made
// once for a schema.
func (s *schemas) pattern(source string, wide bool) (*dfa, error) {
	source = fromECMA(source, wide)
	if d := s.patterns[source]; d != nil {
		return d, nil
	}
	e, err := parseRegexp(source)
	if err != nil {
		return nil, err
	}
	d, err := contentDFA(s.budget, e)
	if err != nil {
		return nil, err
	}
	s.patterns[source] = d
	return d, nil
}

// blanks are the characters that some dialect counts among white space, besides RE2's.
const blanks = `\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}\x1c-\x1f`

// fromECMA spells what ECMA 262 spells otherwise than RE2: \uXXXX, \cX and \d and its like in dialects that know Unicode.
// Where dialects differ in what a class holds, the narrower one is taken, or the wider.
func fromECMA(source string, wide bool) string {
	var b strings.Builder
	if wide && strings.Contains(source, ".") {
		b.WriteString("(?s)")
	}
	class, negated := false, false
	for i := 0; i < len(source); i++ {
		c := source[i]
		if c == '[' && !class {
			class = true
			b.WriteByte(c)
			if negated = strings.HasPrefix(source[i+1:], "^"); negated {
				i++
				b.WriteByte('^')
			}
			continue
		}
		if c == '[' && class && !strings.HasPrefix(source[i:], "[:") {
			b.WriteString(`\[`)
			continue
		}
		if c == ']' {
			class = false
		}
		if c != '\\' || i+1 == len(source) {
			b.WriteByte(c)
			continue
		}
		i++
		switch next := source[i]; {
		case strings.IndexByte("dws", next) >= 0 && wide != (class && negated): // of what is excluded, the opposite
			b.WriteString(wideClass(next, class))
		case wide && strings.IndexByte("DWS", next) >= 0: // what some dialect takes
			b.WriteString(`\` + string(next))
		case next == 'u' && i+4 < len(source) && isHex(source[i+1:i+5]):
			b.WriteString(`\x{` + source[i+1:i+5] + `}`)
			i += 4
		case next == 'u' && strings.HasPrefix(source[i+1:], "{"):
			b.WriteString(`\x`)
		case next == 'S' && !class:
			b.WriteString(`[^\s\v` + blanks + `]`)
		case next == 'W' && !class:
			b.WriteString(`[^\w\pL\pN\pM\p{Pc}]`)
		case next == 'D' && !class:
			b.WriteString(`[^\p{Nd}]`)
		case next == '/' || next == '-' || next == '_' || next == '#' || next == '@' || next == '%' || next == '&' || next == '~' || next == '`' || next == '\'' || next == '"' || next == ',' || next == ';' || next == ':' || next == '=' || next == '<' || next == '>' || next == '!' || next == ' ':
			if next != '_' && next != ' ' {
				b.WriteByte('\\')
			}
			b.WriteByte(next)
		default:
			b.WriteByte('\\')
			b.WriteByte(next)
		}
	}
	return b.String()
}

// wideClass is what \d, \w or \s hold in the dialect where they hold most; within is within brackets.
func wideClass(name byte, within bool) string {
	var of string
	switch name {
	case 'd':
		of = `\p{Nd}`
	case 'w':
		of = `\w\pL\pN\pM\p{Pc}`
	default:
		of = `\s\v` + blanks
	}
	if within {
		return of
	}
	return "[" + of + "]"
}

func isHex(text string) bool {
	for i := range len(text) {
		if unhex(text[i]) < 0 {
			return false
		}
	}
	return true
}

package answer

import (
	"bytes"
	"encoding/json"
	"strings"
)

// literal reads a value as Python writes it, which is what templates put where they print one without saying how: True, None and
// strings in single quotes. It gives the value as JSON.
type literal struct {
	text  string
	out   []byte
	depth int
}

// fromPython is the JSON of a Python literal.
func fromPython(text string) ([]byte, bool) {
	l := &literal{text: strings.TrimSpace(text)}
	if !l.value() || strings.TrimSpace(l.text) != "" || !json.Valid(l.out) {
		return nil, false
	}
	return l.out, true
}

// skip takes a text if it comes next, behind white space.
func (l *literal) skip(text string) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(l.text, " \t\r\n"), text)
	if ok {
		l.text = rest
	}
	return ok
}

func (l *literal) value() bool {
	l.text = strings.TrimLeft(l.text, " \t\r\n")
	if l.text == "" || l.depth > maxScanDepth {
		return false
	}
	for word, is := range map[string]string{"True": "true", "False": "false", "None": "null", "true": "true", "false": "false", "null": "null"} {
		if l.skip(word) {
			l.out = append(l.out, is...)
			return true
		}
	}
	switch c := l.text[0]; c {
	case '\'', '"':
		return l.quoted(c)
	case '[':
		return l.items('[', "]", false)
	case '(':
		return l.items('[', ")", false)
	case '{':
		return l.items('{', "}", true)
	}
	end := strings.IndexFunc(l.text, func(r rune) bool { return !strings.ContainsRune("+-.0123456789eE", r) })
	if end < 0 {
		end = len(l.text)
	}
	number := l.text[:end]
	l.text = l.text[end:]
	l.out = append(l.out, number...)
	return json.Valid([]byte(number))
}

// items reads a list, a tuple or a dictionary.
func (l *literal) items(open byte, end string, pairs bool) bool {
	l.depth++
	defer func() { l.depth-- }()
	l.text = l.text[1:]
	l.out = append(l.out, open)
	for n := 0; !l.skip(end); n++ {
		if n > 0 {
			if !l.skip(",") {
				return false
			}
			if l.skip(end) {
				break
			}
			l.out = append(l.out, ", "...)
		}
		if !l.value() {
			return false
		}
		if pairs {
			if !l.skip(":") {
				return false
			}
			if l.out = append(l.out, ": "...); !l.value() {
				return false
			}
		}
	}
	l.out = append(l.out, open+2) // ']' and '}' lie two behind '[' and '{'
	return true
}

// quoted reads a string, whose escapes are those that JSON has too, and \'.
func (l *literal) quoted(quote byte) bool {
	var text bytes.Buffer
	for i := 1; i < len(l.text); i++ {
		switch c := l.text[i]; {
		case c == quote:
			l.text = l.text[i+1:]
			l.out = append(append(append(l.out, '"'), text.Bytes()...), '"')
			return true
		case c == '\\' && i+1 < len(l.text):
			i++
			if l.text[i] != '\'' {
				text.WriteByte('\\')
			}
			text.WriteByte(l.text[i])
		default:
			text.Write(escaped([]byte{c}))
		}
	}
	return false
}

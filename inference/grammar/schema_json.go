package grammar

import (
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"strconv"
	"strings"
)

// value is a JSON value that keeps the order of an object's members and how numbers were written.
type value struct {
	kind    valueKind
	truth   bool
	text    string // of a string; of a number, as it was written
	items   []*value
	members []member
	byName  map[string]*value

	id     int    // of a schema: its number
	parent *value // where it is; nil of the root
	name   string // in an object
	index  int    // in an array

	written string // canonicalText, once it was asked for

	resource *resource // of a schema: the one that it is part of
	origin   *value    // of what no text has: what it was made of
}

type member struct {
	name  string
	value *value
}

type valueKind byte

const (
	isNull valueKind = iota
	isBool
	isNumber
	isString
	isArray
	isObject
)

// pointer is where a value is, as a JSON pointer. It is made for errors only: that of every value would take memory by the
// square of a text.
func (v *value) pointer() string {
	for v != nil && v.origin != nil {
		v = v.origin
	}
	if v == nil || v.parent == nil {
		return ""
	}
	step := escapePointer(v.name)
	if v.parent.kind == isArray {
		step = itoa(v.index)
	}
	return v.parent.pointer() + "/" + step
}

// get is the member of an object; nil if there is none.
func (v *value) get(name string) *value {
	if v.kind != isObject {
		return nil
	}
	return v.byName[name]
}

// parseJSON reads one JSON value.
func parseJSON(text string) (*value, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	p := &jsonParser{decoder: decoder}
	v, err := p.value(&value{}, 0)
	if err != nil {
		return nil, err
	}
	v.index = p.count // of the root, which has no place in an array: how many values there are
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errorf("the schema is followed by something else")
	}
	return v, nil
}

type jsonParser struct {
	decoder *json.Decoder
	count   int
}

// value reads into v, which says where it is.
func (p *jsonParser) value(v *value, depth int) (*value, error) {
	if depth > maxNesting {
		return nil, &Error{Reason: "the schema is nested more than the limit", Where: v.pointer()}
	}
	token, err := p.decoder.Token()
	if err != nil {
		return nil, &Error{Reason: "the schema is not valid JSON", Where: v.pointer()}
	}
	p.count++
	v.id = p.count
	switch token := token.(type) {
	case nil:
	case bool:
		v.kind, v.truth = isBool, token
	case json.Number:
		v.kind, v.text = isNumber, token.String()
	case string:
		v.kind, v.text = isString, token
	case json.Delim:
		if token == '[' {
			v.kind = isArray
			err = p.array(v, depth)
		} else {
			v.kind = isObject
			err = p.object(v, depth)
		}
	}
	return v, err
}

func (p *jsonParser) array(v *value, depth int) error {
	for p.decoder.More() {
		item, err := p.value(&value{parent: v, index: len(v.items)}, depth+1)
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
	}
	return p.closing(v)
}

func (p *jsonParser) object(v *value, depth int) error {
	v.byName = map[string]*value{}
	for p.decoder.More() {
		token, err := p.decoder.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return &Error{Reason: "the schema is not valid JSON", Where: v.pointer()}
		}
		if v.byName[name] != nil {
			return &Error{Reason: "an object of the schema has a member twice", Where: v.pointer()}
		}
		item, err := p.value(&value{parent: v, name: name}, depth+1)
		if err != nil {
			return err
		}
		v.members = append(v.members, member{name, item})
		v.byName[name] = item
	}
	return p.closing(v)
}

// closing reads the bracket that ends an array or an object.
func (p *jsonParser) closing(v *value) error {
	if _, err := p.decoder.Token(); err != nil {
		return &Error{Reason: "the schema is not valid JSON", Where: v.pointer()}
	}
	return nil
}

func itoa(i int) string { return strconv.Itoa(i) }

func escapePointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

func unescapePointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")
}

// maxNumberText bounds how a number of a schema is written.
const maxNumberText = 64

// rational is the value of a number; nil if it is written too long or with an exponent that is too large.
func (v *value) rational() *big.Rat {
	if v.kind != isNumber || len(v.text) > maxNumberText {
		return nil
	}
	if i := strings.IndexAny(v.text, "eE"); i >= 0 && len(v.text)-i > 4 {
		return nil
	}
	r, ok := new(big.Rat).SetString(v.text)
	if !ok {
		return nil
	}
	return r
}

// canonical appends a value as compact JSON. Numbers without a fraction are written as integers.
func (v *value) canonical(b *strings.Builder) {
	switch v.kind {
	case isNull:
		b.WriteString("null")
	case isBool:
		if v.truth {
			b.WriteString("true")
		} else {
			b.WriteString("false")
		}
	case isNumber:
		if r := v.rational(); r != nil && r.IsInt() && len(r.Num().String()) <= 19 {
			b.WriteString(r.Num().String())
		} else {
			b.WriteString(v.text)
		}
	case isString:
		b.WriteString(jsonString(v.text))
	case isArray:
		b.WriteByte('[')
		for i, item := range v.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.canonical(b)
		}
		b.WriteByte(']')
	case isObject:
		b.WriteByte('{')
		for i, m := range v.members {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(jsonString(m.name))
			b.WriteByte(':')
			m.value.canonical(b)
		}
		b.WriteByte('}')
	}
}

// canonicalText is a value as compact JSON.
func (v *value) canonicalText() string {
	if v.written == "" {
		var b strings.Builder
		v.canonical(&b)
		v.written = b.String()
	}
	return v.written
}

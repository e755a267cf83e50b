package answer

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// object reads one call that is written as a JSON object with a name and arguments, in any order. Other members are
// skipped, so is an object "function" around the two.
type object struct {
	scan scanner
	base int // the depth at which members count: 1, or 2 within "function"

	text   []byte // of the key or string that is being read
	key    string // of the member that is being read
	nested bool   // base is that of "function"

	name    string
	id      string
	named   bool
	args    []byte // of the arguments, until somebody takes them
	began   bool   // the arguments have begun
	ended   bool   // they have ended
	quoted  bool   // they are JSON text in a string
	reading member
}

// member is what a value is for.
type member byte

const (
	memberOther member = iota
	memberName
	memberID
	memberArguments
)

// add takes a byte and says whether it can still be a call.
func (o *object) add(c byte) bool {
	if o.scan.state == wantValue && o.scan.depth() == 0 { // the first byte
		o.base = 1
		return c == '{' && o.scan.add(c)
	}
	before, depth := o.scan.state, o.scan.depth()
	if !o.scan.add(c) {
		return false
	}
	after := o.scan.state
	if depth == o.base {
		switch {
		case before == inKey || before == inKeyEscape:
			return o.inKey(c, after)
		case (before == wantKey || before == wantFirstKey) && after == inKey:
			o.text = o.text[:0]
			return true
		case before == wantValue && after != wantValue:
			return o.begin(c)
		case before == inText || before == inTextEscape:
			return o.inText(c, after)
		}
	}
	if o.nested && o.scan.depth() < o.base {
		o.base, o.nested = 1, false
	}
	if o.reading == memberArguments && !o.quoted && !o.ended {
		o.args = append(o.args, c)
		if o.scan.depth() == o.base && (after == afterValue) {
			o.ended, o.reading = true, memberOther
		}
	}
	return true
}

// inKey takes a byte of a key.
func (o *object) inKey(c byte, after scanState) bool {
	if after != wantColon {
		o.text = append(o.text, c)
		return len(o.text) <= maxKey
	}
	key, ok := unquote(o.text)
	o.key = key
	return ok && slices.Contains([]string{"name", "arguments", "parameters", "id", "type", "function", "description", "tool_name", "tool_call_id"}, key)
}

// maxKey and maxName bound what is kept of keys and names.
const (
	maxKey  = 64
	maxName = 256
)

// begin takes the first byte of a member's value.
func (o *object) begin(c byte) bool {
	o.text = o.text[:0]
	o.reading = memberOther
	switch o.key {
	case "name", "tool_name":
		o.reading = memberName
		return c == '"' && !o.named
	case "id", "tool_call_id":
		o.reading = memberID
	case "function":
		switch {
		case c == '"':
			o.reading = memberName
			return !o.named
		case c == '{' && !o.nested && o.base == 1:
			o.nested, o.base = true, 2
			return true
		}
		return false
	case "arguments", "parameters":
		if o.began || c != '{' && c != '"' {
			return false
		}
		o.reading, o.began, o.quoted = memberArguments, true, c == '"'
		if !o.quoted {
			o.args = append(o.args, c)
		}
	}
	return true
}

// inText takes a byte of a string that is a member.
func (o *object) inText(c byte, after scanState) bool {
	if o.reading == memberOther {
		return true
	}
	if after == inText || after == inTextEscape {
		o.text = append(o.text, c)
		return o.reading == memberArguments || len(o.text) <= maxName
	}
	text, ok := unquote(o.text)
	switch o.reading {
	case memberName:
		o.name, o.named = text, true
	case memberID:
		o.id = text
	case memberArguments:
		o.args, o.ended = []byte(text), true
		ok = ok && isObject(o.args)
	case memberOther:
	}
	o.reading = memberOther
	return ok
}

// done says whether the object has ended.
func (o *object) done() bool { return o.scan.state == scanned }

// fragment takes what may be given of the arguments by now. It holds until the next byte.
func (o *object) fragment() []byte {
	if o.done() && !o.began {
		o.began = true
		return []byte("{}")
	}
	if o.quoted && !o.ended {
		return nil
	}
	taken := o.args
	o.args = o.args[:0]
	return taken
}

// unquote is a string of JSON text without its quotation marks.
func unquote(raw []byte) (string, bool) {
	if !bytes.ContainsRune(raw, '\\') {
		return string(raw), true
	}
	var s string
	err := json.Unmarshal(slices.Concat([]byte{'"'}, raw, []byte{'"'}), &s)
	return s, err == nil
}

// isObject says whether a text is a JSON object.
func isObject(text []byte) bool {
	trimmed := strings.TrimLeft(string(text), " \t\r\n")
	return strings.HasPrefix(trimmed, "{") && json.Valid(text)
}

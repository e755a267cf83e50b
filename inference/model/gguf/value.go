package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Kind is the type of a metadata value. The numbers are the format's.
type Kind uint32

// The kinds of values.
const (
	Uint8 Kind = iota
	Int8
	Uint16
	Int16
	Uint32
	Int32
	Float32
	Bool
	String
	Array
	Uint64
	Int64
	Float64
)

// String names the kind.
func (k Kind) String() string {
	names := [...]string{
		"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool", "string", "array",
		"uint64", "int64", "float64",
	}
	if int64(k) < int64(len(names)) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", uint32(k))
}

// width is the number of bytes of a value of the kind, 0 if it varies.
func (k Kind) width() int {
	switch k {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16:
		return 2
	case Uint32, Int32, Float32:
		return 4
	case Uint64, Int64, Float64:
		return 8
	case String, Array:
		return 0
	}
	return 0
}

// least is the fewest bytes that a value of the kind takes: a string has its length, an array its kind and count.
func (k Kind) least() int {
	if k == String {
		return 8
	}
	if k == Array {
		return 12
	}
	return k.width()
}

// Value is a metadata value, still encoded; the accessors decode it and refuse another kind. The zero Value is not
// used.
type Value struct {
	kind    Kind
	element Kind   // of an array
	count   int    // of an array
	data    []byte // the value's own bytes; of an array, its elements'; of a string, its text
}

// value reads a value of kind. Of arrays it walks every element, so that decoding cannot run over the end later.
func (c *cursor) value(what string, kind Kind, depth int) Value {
	switch {
	case kind > Float64:
		c.fail(what, fmt.Errorf("it has the unknown %v", kind))
	case kind == String:
		return Value{kind: kind, data: c.text(what, math.MaxInt64)}
	case kind == Array:
		return c.array(what, depth)
	default:
		at := c.at
		v := Value{kind: kind, data: c.take(kind.width(), what)}
		if kind == Bool && c.err == nil && v.data[0] > 1 {
			c.failAt(at, what, fmt.Errorf("%d is not a bool", v.data[0]))
		}
		return v
	}
	return Value{}
}

// array reads an array after its kind.
func (c *cursor) array(what string, depth int) Value {
	if depth >= maxDepth {
		c.fail(what, fmt.Errorf("arrays are nested more than %d deep", maxDepth))
		return Value{}
	}
	element := Kind(c.uint32(what))
	if c.err == nil && element > Float64 {
		c.failAt(c.at-4, what, fmt.Errorf("its elements have the unknown %v", element))
		return Value{}
	}
	if c.err != nil {
		return Value{}
	}
	v := Value{kind: Array, element: element, count: c.count(what, element.least(), math.MaxInt64)}
	start := c.at
	if width := element.width(); width > 0 {
		c.take(width*v.count, what) // at most the file's size: count has checked it
	} else {
		for i := 0; i < v.count && c.err == nil; i++ {
			c.value(what, element, depth+1)
		}
	}
	v.data = c.data[start:c.at:c.at]
	return v
}

// Kind is the value's type.
func (v Value) Kind() Kind { return v.kind }

// Len is the number of an array's elements, 0 for other kinds.
func (v Value) Len() int { return v.count }

// wrong says that a value has not the kind that was asked for.
func (v Value) wrong(want string) error {
	if v.kind == Array {
		return fmt.Errorf("it is an array of %v, not %s", v.element, want)
	}
	return fmt.Errorf("it is a %v, not %s", v.kind, want)
}

// Uint gives an integer that is not negative.
func (v Value) Uint() (uint64, error) {
	n, err := integer(v.kind, v.data)
	if err != nil {
		return 0, v.wrong("an integer")
	}
	if n < 0 {
		return 0, fmt.Errorf("%d is negative", n)
	}
	if v.kind == Uint64 {
		return binary.LittleEndian.Uint64(v.data), nil
	}
	return uint64(n), nil
}

// Float gives a float, or an integer that is not negative, as a float64.
func (v Value) Float() (float64, error) {
	if v.kind == Float32 {
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(v.data))), nil
	}
	if v.kind == Float64 {
		return math.Float64frombits(binary.LittleEndian.Uint64(v.data)), nil
	}
	n, err := v.Uint()
	if err != nil {
		return 0, v.wrong("a number")
	}
	return float64(n), nil
}

// Bool gives a bool.
func (v Value) Bool() (bool, error) {
	if v.kind != Bool {
		return false, v.wrong("a bool")
	}
	return v.data[0] == 1, nil
}

// Text gives a copy of a string, which need not be UTF-8.
func (v Value) Text() (string, error) {
	if v.kind != String {
		return "", v.wrong("a string")
	}
	return string(v.data), nil
}

// Texts gives a copy of an array of strings.
func (v Value) Texts() ([]string, error) {
	if v.kind != Array || v.element != String {
		return nil, v.wrong("an array of strings")
	}
	texts := make([]string, v.count)
	rest := v.data
	for i := range texts {
		n := binary.LittleEndian.Uint64(rest)
		texts[i] = string(rest[8 : 8+n])
		rest = rest[8+n:]
	}
	return texts, nil
}

// Ints gives an array of integers.
func (v Value) Ints() ([]int64, error) {
	if v.kind != Array {
		return nil, v.wrong("an array of integers")
	}
	width := v.element.width()
	ints := make([]int64, v.count)
	for i := range ints {
		n, err := integer(v.element, v.data[i*width:])
		if err != nil {
			return nil, v.wrong("an array of integers")
		}
		ints[i] = n
	}
	return ints, nil
}

// Floats gives an array of float32.
func (v Value) Floats() ([]float32, error) {
	if v.kind != Array || v.element != Float32 {
		return nil, v.wrong("an array of float32")
	}
	floats := make([]float32, v.count)
	for i := range floats {
		floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(v.data[4*i:]))
	}
	return floats, nil
}

// Bools gives an array of bools; any byte but 0 is true.
func (v Value) Bools() ([]bool, error) {
	if v.kind != Array || v.element != Bool {
		return nil, v.wrong("an array of bools")
	}
	bools := make([]bool, v.count)
	for i := range bools {
		bools[i] = v.data[i] != 0
	}
	return bools, nil
}

// errNoInteger says that a kind is no integer, or its value does not fit.
var errNoInteger = errors.New("not an integer")

// integer decodes the integer of kind at the start of b. A uint64 over the range of int64 is math.MaxInt64; Uint
// decodes those itself.
func integer(kind Kind, b []byte) (int64, error) {
	switch kind {
	case Uint8:
		return int64(b[0]), nil
	case Int8:
		return int64(int8(b[0])), nil
	case Uint16:
		return int64(binary.LittleEndian.Uint16(b)), nil
	case Int16:
		return int64(int16(binary.LittleEndian.Uint16(b))), nil
	case Uint32:
		return int64(binary.LittleEndian.Uint32(b)), nil
	case Int32:
		return int64(int32(binary.LittleEndian.Uint32(b))), nil
	case Uint64:
		return int64(min(binary.LittleEndian.Uint64(b), math.MaxInt64)), nil
	case Int64:
		return int64(binary.LittleEndian.Uint64(b)), nil
	case Float32, Bool, String, Array, Float64:
		return 0, errNoInteger
	}
	return 0, errNoInteger
}

package onnx

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of a message: its number, and its value as an integer or as bytes.
type field struct {
	number int
	kind   protowire.Type
	value  uint64
	data   []byte
}

// each calls visit for every field of a message, in order, and skips groups.
func each(data []byte, visit func(field) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
		}
		data = data[n:]
		f := field{number: int(number), kind: kind}
		switch kind {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(data)
			f.value = uint64(v)
		case protowire.Fixed64Type:
			f.value, n = protowire.ConsumeFixed64(data)
		case protowire.BytesType:
			f.data, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(number, kind, data)
		}
		if n < 0 {
			return fmt.Errorf("%w: field %d: %w", ErrMalformed, number, protowire.ParseError(n))
		}
		data = data[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// integer is the field's value if it is a varint.
func (f field) integer() (int64, error) {
	if f.kind != protowire.VarintType {
		return 0, fmt.Errorf("%w: field %d is not an integer", ErrMalformed, f.number)
	}
	return int64(f.value), nil
}

// float is the field's value if it is a 32-bit float.
func (f field) float() (float32, error) {
	if f.kind != protowire.Fixed32Type {
		return 0, fmt.Errorf("%w: field %d is not a float", ErrMalformed, f.number)
	}
	return math.Float32frombits(uint32(f.value)), nil
}

// bytes is the field's value if it has a length: a string, bytes or a message.
func (f field) bytes() ([]byte, error) {
	if f.kind != protowire.BytesType {
		return nil, fmt.Errorf("%w: field %d has no length", ErrMalformed, f.number)
	}
	return f.data, nil
}

// setInt, setFloat, setBytes, setText, addText and setType store the field's value, or say why it has none of the kind.
func (f field) setInt(dst *int64) (err error)     { *dst, err = f.integer(); return err }
func (f field) setFloat(dst *float32) (err error) { *dst, err = f.float(); return err }
func (f field) setBytes(dst *[]byte) (err error)  { *dst, err = f.bytes(); return err }

func (f field) setText(dst *string) error {
	b, err := f.bytes()
	*dst = string(b)
	return err
}

func (f field) addText(list *[]string) error {
	b, err := f.bytes()
	if err == nil {
		*list = append(*list, string(b))
	}
	return err
}

func (f field) setType(dst *DataType) error {
	v, err := f.integer()
	*dst = DataType(v)
	return err
}

// message decodes the field as a message.
func (f field) message(visit func(field) error) error {
	data, err := f.bytes()
	if err != nil {
		return err
	}
	return each(data, visit)
}

// element appends one decoded message to a list.
func element[T any](list *[]T, f field, decode func(*T, field) error) error {
	var v T
	if err := f.message(func(f field) error { return decode(&v, f) }); err != nil {
		return err
	}
	*list = append(*list, v)
	return nil
}

// scalars appends the numbers of a repeated field, packed or not.
func scalars[T int64 | float32](list *[]T, f field, packed protowire.Type, read func(field) (T, error)) error {
	add := func(f field) error {
		v, err := read(f)
		if err == nil {
			*list = append(*list, v)
		}
		return err
	}
	if f.kind != protowire.BytesType {
		return add(f)
	}
	for data := f.data; len(data) > 0; {
		v := field{number: f.number, kind: packed}
		var n int
		if packed == protowire.VarintType {
			v.value, n = protowire.ConsumeVarint(data)
		} else {
			var w uint32
			w, n = protowire.ConsumeFixed32(data)
			v.value = uint64(w)
		}
		if n < 0 {
			return fmt.Errorf("%w: field %d: %w", ErrMalformed, f.number, protowire.ParseError(n))
		}
		data = data[n:]
		if err := add(v); err != nil {
			return err
		}
	}
	return nil
}

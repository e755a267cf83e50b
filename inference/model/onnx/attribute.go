package onnx

import (
	"fmt"
	"strconv"
	"strings"
)

// AttributeKind says which value an attribute has, numbered as in onnx.proto.
type AttributeKind int32

// The kinds of attributes whose values are read and written. Others (tensors, subgraphs) keep their number and name
// only when they are read, and can't be written.
const (
	KindFloat   AttributeKind = 1
	KindInt     AttributeKind = 2
	KindString  AttributeKind = 3
	KindFloats  AttributeKind = 6
	KindInts    AttributeKind = 7
	KindStrings AttributeKind = 8
)

// Attribute is a named constant of a node.
type Attribute struct {
	Name    string
	Kind    AttributeKind
	Float   float32
	Int     int64
	Text    string
	Floats  []float32
	Ints    []int64
	Strings []string
}

// Int is an attribute that holds one integer.
func Int(name string, v int) Attribute { return Attribute{Name: name, Kind: KindInt, Int: int64(v)} }

// Real is an attribute that holds one float.
func Real(name string, v float32) Attribute { return Attribute{Name: name, Kind: KindFloat, Float: v} }

// Text is an attribute that holds one string.
func Text(name, v string) Attribute { return Attribute{Name: name, Kind: KindString, Text: v} }

// String is name=value, as Dump writes it.
func (a Attribute) String() string {
	switch a.Kind {
	case KindInt:
		return a.Name + "=" + strconv.FormatInt(a.Int, 10)
	case KindFloat:
		return a.Name + "=" + strconv.FormatFloat(float64(a.Float), 'g', -1, 32)
	case KindString:
		return a.Name + "=" + strconv.Quote(a.Text)
	case KindInts:
		return a.Name + "=" + strings.ReplaceAll(fmt.Sprint(a.Ints), " ", ",")
	case KindFloats:
		return a.Name + "=" + strings.ReplaceAll(fmt.Sprint(a.Floats), " ", ",")
	case KindStrings:
		return fmt.Sprintf("%s=%q", a.Name, a.Strings)
	default:
		return fmt.Sprintf("%s=kind(%d)", a.Name, a.Kind)
	}
}

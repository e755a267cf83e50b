package chat

import (
	"fmt"
	"slices"

	"github.com/ardanlabs/jinja"
)

// add is + for two texts, two lists or two numbers. The library also joins a text with anything else, which would
// print what Python refuses, such as a list of content parts given to a template that only knows text.
func (r *render) add(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	a, b := args[0], args[1]
	number := func(v jinja.Value) bool { return v.IsNumber() || v.IsBool() }
	switch {
	case a.IsString() && b.IsString():
		return jinja.NewString(a.AsString() + b.AsString()), nil
	case a.IsList() && b.IsList():
		return jinja.NewList(slices.Concat(a.AsList().Items, b.AsList().Items)), nil
	case number(a) && number(b):
		if a.IsFloat() || b.IsFloat() {
			return jinja.NewFloat(toFloat(a) + toFloat(b)), nil
		}
		return jinja.NewInt(toInt(a) + toInt(b)), nil
	}
	return jinja.Undefined(), fmt.Errorf("cannot add %s and %s", kind(a), kind(b))
}

func toFloat(v jinja.Value) float64 {
	if v.IsFloat() {
		return v.AsFloat()
	}
	return float64(toInt(v))
}

func toInt(v jinja.Value) int64 {
	if v.IsInt() {
		return v.AsInt()
	}
	if v.AsBool() {
		return 1
	}
	return 0
}

// kind is what an error calls a value.
func kind(v jinja.Value) string {
	switch {
	case v.IsUndefined():
		return "an undefined value"
	case v.IsNone():
		return "none"
	case v.IsString():
		return "a text"
	case v.IsList():
		return "a list"
	case v.IsDict():
		return "a mapping"
	case v.IsCallable():
		return "a function"
	default:
		return "a number"
	}
}

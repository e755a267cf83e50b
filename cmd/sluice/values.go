package main

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// plainValue is an option's value in the form in which it is written.
func plainValue(v reflect.Value) any {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return nil
	case v.Kind() == reflect.Pointer:
		return plainValue(v.Elem())
	case v.Kind() == reflect.Slice:
		items := make([]any, v.Len())
		for i := range items {
			items[i] = plainValue(v.Index(i))
		}
		return items
	}
	if s, ok := reflect.TypeAssert[fmt.Stringer](v); ok {
		return s.String()
	}
	return v.Interface()
}

// modelFlag is a model to serve: NAME=DIR.
type modelFlag struct{ name, dir string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *modelFlag) UnmarshalText(text []byte) error {
	name, dir, ok := strings.Cut(string(text), "=")
	if !ok || name == "" || dir == "" {
		return fmt.Errorf("%q is not NAME=DIR", text)
	}
	m.name, m.dir = name, dir
	return nil
}

func (m modelFlag) String() string { return m.name + "=" + m.dir }

// aliasFlag is another name for a model: ALIAS=NAME.
type aliasFlag struct{ alias, name string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *aliasFlag) UnmarshalText(text []byte) error {
	alias, name, ok := strings.Cut(string(text), "=")
	if !ok || alias == "" || name == "" {
		return fmt.Errorf("%q is not ALIAS=NAME", text)
	}
	a.alias, a.name = alias, name
	return nil
}

func (a aliasFlag) String() string { return a.alias + "=" + a.name }

// formatFlag says which of several formats a model has: NAME=FORMAT.
type formatFlag struct{ model, format string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *formatFlag) UnmarshalText(text []byte) error {
	model, format, ok := strings.Cut(string(text), "=")
	if !ok || model == "" || format == "" {
		return fmt.Errorf("%q is not NAME=FORMAT", text)
	}
	f.model, f.format = model, format
	return nil
}

func (f formatFlag) String() string { return f.model + "=" + f.format }

// formatOf is the format that the last of the flags for a model names.
func formatOf(flags []formatFlag, model string) (string, bool) {
	for _, f := range slices.Backward(flags) {
		if f.model == model {
			return f.format, true
		}
	}
	return "", false
}

// count and decimal are numbers of a list: kong reads lists of a configuration file as texts.
type (
	count   int
	decimal float64
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *count) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a whole number", text)
	}
	*c = count(n)
	return nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *decimal) UnmarshalText(text []byte) error {
	x, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return fmt.Errorf("%q is not a number", text)
	}
	*d = decimal(x)
	return nil
}

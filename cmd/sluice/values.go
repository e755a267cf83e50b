package main

import (
	"fmt"
	"reflect"
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

package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/ardanlabs/jinja"
)

// maxJSONDepth is how deep FromJSON nests; a render refuses deeper values anyway.
const maxJSONDepth = maxDepth

// FromJSON reads one JSON value for Input.Args. Unlike encoding/json it keeps the order of an object's keys and tells
// integers from floats, both of which templates print.
func FromJSON(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	v, err := decodeValue(decoder, 0)
	if err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read JSON: more than one value")
	}
	return v, nil
}

// ArgsFromJSON reads a JSON object as Input.Args.
func ArgsFromJSON(data []byte) (map[string]any, error) {
	v, err := FromJSON(data)
	if err != nil {
		return nil, err
	}
	object, ok := v.(jinja.Value)
	if !ok || !object.IsDict() {
		return nil, errors.New("read JSON: not an object")
	}
	args := make(map[string]any, object.AsDict().Len())
	for name, value := range object.AsDict().Data {
		args[name] = value
	}
	return args, nil
}

func decodeValue(decoder *json.Decoder, depth int) (jinja.Value, error) {
	if depth > maxJSONDepth {
		return jinja.Undefined(), &LimitError{What: "the nesting of values", Limit: maxJSONDepth}
	}
	token, err := decoder.Token()
	if err != nil {
		return jinja.Undefined(), err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return jinja.FromGoValue(token), nil
	}
	if delim == '[' {
		var items []jinja.Value
		for decoder.More() {
			item, err := decodeValue(decoder, depth+1)
			if err != nil {
				return jinja.Undefined(), err
			}
			items = append(items, item)
		}
		_, err := decoder.Token()
		return jinja.NewList(items), err
	}
	object := jinja.NewDict()
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return jinja.Undefined(), err
		}
		value, err := decodeValue(decoder, depth+1)
		if err != nil {
			return jinja.Undefined(), err
		}
		name, ok := key.(string)
		if !ok {
			return jinja.Undefined(), fmt.Errorf("the key %v is not a string", key)
		}
		object.AsDict().Set(name, value)
	}
	_, err = decoder.Token()
	return object, err
}

// text8 is s as a value, in valid UTF-8: the marks count characters.
func text8(s string) jinja.Value { return jinja.NewString(strings.ToValidUTF8(s, "\uFFFD")) }

// toValue is a plain Go value, or one of FromJSON, as the library's.
func toValue(v any) jinja.Value {
	switch v := v.(type) {
	case jinja.Value:
		return v
	case string:
		return text8(v)
	case []any:
		items := make([]jinja.Value, len(v))
		for i, item := range v {
			items[i] = toValue(item)
		}
		return jinja.NewList(items)
	case map[string]any:
		object := jinja.NewDict()
		for _, key := range slices.Sorted(maps.Keys(v)) {
			object.AsDict().Set(strings.ToValidUTF8(key, "\uFFFD"), toValue(v[key]))
		}
		return object
	default:
		return jinja.FromGoValue(v)
	}
}

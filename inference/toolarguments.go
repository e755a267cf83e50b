package inference

import (
	"encoding/json"
	"encoding/json/jsontext"
	"strings"

	"github.com/sluiceml/sluice/inference/answer"
)

// parameters is what is read of a tool's JSON Schema where its arguments are written one by one.
type parameters struct {
	Properties map[string]jsontext.Value `json:"properties"`
	Required   []string                  `json:"required"`
}

// argument is what is read of the schema of one.
type argument struct {
	Type  any               `json:"type"`
	Enum  []json.RawMessage `json:"enum"`
	Const json.RawMessage   `json:"const"`
}

// text says whether an argument's values are strings, which are written as they are, and which ones, if they are listed.
func (a *argument) text() (choices []string, text bool) {
	listed := a.Enum
	if a.Const != nil {
		listed = []json.RawMessage{a.Const}
	}
	for _, value := range listed {
		var s string
		if json.Unmarshal(value, &s) != nil {
			return nil, false
		}
		choices = append(choices, s)
	}
	return choices, len(choices) > 0 || a.Type == "string"
}

// isText says of a tool's arguments whether they are declared as strings.
func isText(tools []Tool) func(tool, name string) bool {
	texts := map[string]map[string]bool{}
	for _, tool := range tools {
		var p parameters
		if json.Unmarshal([]byte(tool.Parameters), &p) != nil {
			continue
		}
		names := map[string]bool{}
		for name, schema := range p.Properties {
			var a argument
			if json.Unmarshal(schema, &a) == nil {
				_, names[name] = a.text()
			}
		}
		texts[tool.Name] = names
	}
	return func(tool, name string) bool { return texts[tool][name] }
}

// arguments is what a grammar of calls says of a tool's arguments, in the order in which the schema has them. A keyword that
// the grammar cannot hold a call to is refused.
func arguments(schema string) ([]answer.Argument, error) {
	var p parameters
	var keywords map[string]jsontext.Value
	if json.Unmarshal([]byte(schema), &p) != nil || json.Unmarshal([]byte(schema), &keywords) != nil {
		return nil, Invalid(callsField, "the parameters of one are no JSON Schema of an object")
	}
	for keyword := range keywords {
		switch keyword {
		case "type", "properties", "required", "additionalProperties", "title", "description", "$defs", "definitions", "$schema", "strict":
		default:
			return nil, cannotHold(keyword)
		}
	}
	required := make(map[string]bool, len(p.Required))
	for _, name := range p.Required {
		if p.Properties[name] == nil {
			return nil, cannotHold("required")
		}
		required[name] = true
	}
	var out []answer.Argument
	for _, name := range propertyNames(keywords["properties"]) {
		var a argument
		if json.Unmarshal(p.Properties[name], &a) != nil && string(p.Properties[name]) != "true" {
			return nil, Invalid(callsField, "the parameters of one are no JSON Schema of an object")
		}
		argument := answer.Argument{Name: name, Required: required[name]}
		argument.Choices, argument.Text = a.text()
		if argument.Text && argument.Choices == nil {
			for _, keyword := range []string{"pattern", "format", "minLength", "maxLength"} {
				if strings.Contains(string(p.Properties[name]), `"`+keyword+`"`) {
					return nil, cannotHold(keyword)
				}
			}
		}
		out = append(out, argument)
	}
	return out, nil
}

// cannotHold refuses a keyword of parameters.
func cannotHold(keyword string) error {
	return &InvalidError{Violations: []Violation{{
		Field: callsField, Description: "a required call cannot be held to a keyword of the parameters in the model's form of calls", Quote: keyword,
	}}}
}

// propertyNames is the names of an object's members, in their order.
func propertyNames(object jsontext.Value) []string {
	decoder := jsontext.NewDecoder(strings.NewReader(string(object)))
	if token, err := decoder.ReadToken(); err != nil || token.Kind() != jsontext.KindBeginObject {
		return nil
	}
	var names []string
	for decoder.PeekKind() == jsontext.KindString {
		name, err := decoder.ReadToken()
		if err != nil {
			return names
		}
		names = append(names, name.String())
		if decoder.SkipValue() != nil {
			return names
		}
	}
	return names
}

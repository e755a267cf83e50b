package inference

import (
	"bytes"
	"encoding/json"
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/grammar"
)

// A required call is one that the model cannot help writing: what announces it is put into the output, and a JSON Schema
// of the calls that may come holds the rest.

// mustCall says whether an input requires a call.
func mustCall(input Input) (Chat, bool) {
	chat, ok := input.(Chat)
	return chat, ok && (chat.ToolChoice.Mode == ToolChoiceRequired || chat.ToolChoice.Mode == ToolChoiceNamed)
}

// choiceField is what requires a call, for errors.
const choiceField = "chat.tool_choice"

// callLead is what announces a required call in a form; nil if none is required. The error is that of callable.
func callLead(form answer.CallFormat, input Input) (*string, error) {
	chat, ok := mustCall(input)
	if !ok {
		return nil, nil //nolint:nilnil // no call is none
	}
	tools, err := callable(chat)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, tool := range tools {
		names = append(names, tool.Name)
	}
	lead := answer.Lead(form, names)
	return &lead, nil
}

// callable are the tools of which a required call may be one; at least one. The error is an *InvalidError.
func callable(input Chat) ([]Tool, error) {
	if input.ToolChoice.Mode != ToolChoiceNamed {
		if len(input.Tools) == 0 {
			return nil, Invalid(choiceField+".mode", "requires a call, and %s has no tool", callsField)
		}
		return input.Tools, nil
	}
	i := slices.IndexFunc(input.Tools, func(t Tool) bool { return t.Name == input.ToolChoice.Name })
	if i < 0 {
		return nil, Invalid(choiceField+".name", "is that of no tool in %s", callsField)
	}
	return input.Tools[i : i+1], nil
}

// callConstraint is what a request's outputs must conform to: its own constraint, or that of a required call.
func (m *Model) callConstraint(request *Request) (*Constraint, error) {
	input, ok := mustCall(request.Input)
	if !ok {
		return request.Constraint, nil
	}
	switch {
	case m.config.Calls == answer.NoCalls:
		return nil, Invalid(choiceField, "the model has no form of calls that is known")
	case request.Constraint != nil:
		return nil, Invalid(choiceField, "a required tool call and a constraint exclude each other")
	}
	tools, err := callable(input)
	if err != nil {
		return nil, err
	}
	constraint, err := callGrammar(m.config.Calls, tools)
	if err != nil {
		return nil, err
	}
	return &Constraint{Constraint: constraint, Field: callsField}, nil
}

// callsField is what a constraint of calls is made of, for errors.
const callsField = "chat.tools"

// callGrammar is the constraint of one call of one of the tools: a JSON Schema, or a grammar in the forms that do not write calls
// as JSON.
func callGrammar(form answer.CallFormat, tools []Tool) (grammar.Constraint, error) {
	invalid := func(err error) error {
		return &InvalidError{Violations: []Violation{
			{Field: callsField, Description: "the parameters of one are no JSON Schema", Quote: err.Error()}, // it may name a member
		}}
	}
	size := 0
	for _, tool := range tools { // before anything is made of them
		if size += len(tool.Name) + len(tool.Parameters); size > grammar.MaxSource {
			return grammar.Constraint{}, Invalid(callsField, "a required call needs tools of at most %d bytes together", grammar.MaxSource)
		}
	}
	known := make([]answer.Tool, len(tools))
	for i, tool := range tools {
		known[i] = answer.Tool{Name: tool.Name, Schema: `{"type": "object"}`}
		switch {
		case tool.Parameters == "":
		case answer.OneByOne(form):
			arguments, err := arguments(tool.Parameters)
			if err != nil {
				return grammar.Constraint{}, err
			}
			known[i].Schema, known[i].Arguments = tool.Parameters, arguments
		default:
			moved, err := moveRefs(tool.Parameters, "#/$defs/0")
			if err != nil {
				return grammar.Constraint{}, invalid(err)
			}
			known[i].Schema = fmt.Sprintf(`{"type": "object", "$ref": "#/$defs/0", "$defs": {"0": %s}}`, moved)
		}
	}
	if text := answer.Grammar(form, known); text != "" {
		return grammar.Constraint{Kind: grammar.KindGrammar, Text: text}, nil
	}
	schema, err := callSchema(answer.ObjectOf(form), tools)
	if err != nil {
		return grammar.Constraint{}, invalid(err)
	}
	return grammar.Constraint{Kind: grammar.KindJSONSchema, Text: schema}, nil
}

// callSchema is the JSON Schema of one call of one of the tools. Each tool's parameters lie in $defs, and their references
// are moved there.
func callSchema(form answer.CallObject, tools []Tool) (string, error) {
	var defs, calls []string
	for i, tool := range tools {
		parameters := "{}"
		if tool.Parameters != "" {
			moved, err := moveRefs(tool.Parameters, fmt.Sprintf("#/$defs/%d", i))
			if err != nil {
				return "", err
			}
			parameters = moved
		}
		name, err := json.Marshal(tool.Name)
		if err != nil {
			return "", err
		}
		defs = append(defs, fmt.Sprintf(`"%d": %s`, i, parameters))
		calls = append(calls, fmt.Sprintf(`{"type": "object", "properties": {%q: {"const": %s}, %q: {"type": "object", "$ref": "#/$defs/%d"}}, `+
			`"required": [%q, %q], "additionalProperties": false}`, form.Name, name, form.Arguments, i, form.Name, form.Arguments))
	}
	call := fmt.Sprintf(`"anyOf": [%s]`, strings.Join(calls, ", "))
	if len(calls) == 1 {
		call = strings.TrimSuffix(strings.TrimPrefix(calls[0], "{"), "}")
	}
	if form.List {
		call = fmt.Sprintf(`"type": "array", "items": {%s}, "minItems": 1, "maxItems": 1`, call)
	}
	return fmt.Sprintf(`{"$defs": {%s}, %s}`, strings.Join(defs, ", "), call), nil
}

// moveRefs makes the references of a schema, which are relative to its root, relative to where the root now is. The order
// of its members stays.
func moveRefs(schema, root string) (string, error) {
	var out bytes.Buffer
	from, to := jsontext.NewDecoder(strings.NewReader(schema)), jsontext.NewEncoder(&out)
	isRef := false
	for {
		token, err := from.ReadToken()
		if errors.Is(err, io.EOF) {
			return strings.TrimSpace(out.String()), nil
		}
		if err != nil {
			return "", err
		}
		kind, length := from.StackIndex(from.StackDepth())
		isName := kind == jsontext.KindBeginObject && length%2 == 1
		if token.Kind() == jsontext.KindString {
			text := token.String()
			if isRef && (text == "#" || strings.HasPrefix(text, "#/")) {
				token = jsontext.String(root + strings.TrimPrefix(text, "#"))
			}
			isRef = isName && text == "$ref"
		} else {
			isRef = false
		}
		if err := to.WriteToken(token); err != nil {
			return "", err
		}
	}
}

package grammar

import (
	"encoding/json"
	"strings"
)

// A JSON Schema stands in a grammar for the JSON texts that conform to it. One of which several parts are used is named by a
// statement of its own, and compiled as one.

// jsonValue reads a JSON Schema.
func (p *lark) jsonValue() (string, error) {
	decoder := json.NewDecoder(strings.NewReader(p.text[p.at:]))
	var text json.RawMessage
	if err := decoder.Decode(&text); err != nil {
		return "", p.fail("%%json must be followed by a JSON Schema")
	}
	p.at += int(decoder.InputOffset())
	return string(text), nil
}

// named reads a name and the schema that has it.
func (p *lark) named() error {
	name := p.name()
	if !isSchemaName(name) || p.schemas[name] != nil {
		return p.fail("%%json must be followed by the name of a schema that has none yet, and the schema")
	}
	text, err := p.jsonValue()
	if err != nil {
		return err
	}
	p.schemas[name], err = newSchemas(p.budget, text, p.vocabulary)
	return err
}

// schema reads a JSON Schema, or the name of one, behind which a pointer may say which part of it is meant: %json
// name#"/properties/a". What is ignored is not ignored within the JSON texts.
func (p *lark) schema() (expr, error) {
	p.blanks()
	name := p.name()
	var start *rule
	if of := p.schemas[name]; of != nil {
		to, err := p.pointed(of.root)
		if err != nil {
			return nil, err
		}
		if start, err = of.compile(to); err != nil {
			return nil, err
		}
		return reference{start}, nil
	}
	if isSchemaName(name) {
		return nil, p.fail("a schema must be named by a statement %%json before it is used")
	}
	p.at -= len(name)
	text, err := p.jsonValue()
	if err != nil {
		return nil, err
	}
	if start, err = compileSchema(p.budget, text, p.vocabulary); err != nil {
		return nil, err
	}
	return reference{start}, nil
}

// isSchemaName says whether a word behind %json is a name, not JSON.
func isSchemaName(word string) bool { return word != "" && !json.Valid([]byte(word)) }

// pointed reads a pointer, if there is one, and follows it.
func (p *lark) pointed(from *value) (*value, error) {
	if !p.take("#") {
		return from, nil
	}
	if !p.take(`"`) {
		return nil, p.fail("a pointer must be a text")
	}
	pointer, err := p.quoted()
	if err != nil {
		return nil, err
	}
	names := strings.Split(pointer, "/")
	if names[0] != "" {
		return nil, p.fail("a pointer must begin with a slash")
	}
	for _, name := range names[1:] {
		if from = from.step(unescapePointer(name)); from == nil {
			return nil, p.fail("a pointer leads nowhere in the schema")
		}
	}
	return from, nil
}

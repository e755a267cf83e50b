package gateway

import (
	"encoding/json"
	"maps"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// responseFormat is OpenAI's response_format.
type responseFormat struct {
	Type   string `json:"type"`
	Schema *struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Schema      json.RawMessage `json:"schema"`
		Strict      *bool           `json:"strict"` // it is always imposed
	} `json:"json_schema"`
}

// constraint is vLLM's structured_outputs.
type constraint struct {
	JSON       json.RawMessage `json:"json"`
	JSONObject *bool           `json:"json_object"`
	Regex      *string         `json:"regex"`
	Choice     []string        `json:"choice"`
	Grammar    *string         `json:"grammar"`
}

// joinConstraint is the one constraint that a request asks for; nil: none.
func joinConstraint(format *responseFormat, imposed *constraint) (*sluicev1.Constraint, *problem) {
	out, p := format.constraint()
	if p != nil || imposed == nil {
		return out, p
	}
	other, p := imposed.native()
	if p == nil && out != nil && other != nil {
		return nil, invalid("structured_outputs", "cannot be together with response_format")
	}
	if other == nil {
		other = out
	}
	return other, p
}

func (f *responseFormat) constraint() (*sluicev1.Constraint, *problem) {
	switch {
	case f == nil || f.Type == "text":
		return nil, nil //nolint:nilnil // none
	case f.Type == "json_object":
		return &sluicev1.Constraint{Kind: &sluicev1.Constraint_JsonObject{JsonObject: true}}, nil
	case f.Type != "json_schema":
		return nil, invalid("response_format.type", "must be text, json_object or json_schema")
	case f.Schema == nil || len(f.Schema.Schema) == 0:
		return nil, invalid("response_format.json_schema.schema", "must be set")
	}
	return &sluicev1.Constraint{Kind: &sluicev1.Constraint_JsonSchema{JsonSchema: string(f.Schema.Schema)}}, nil
}

func (c *constraint) native() (*sluicev1.Constraint, *problem) {
	var kinds []*sluicev1.Constraint
	if len(c.JSON) > 0 && string(c.JSON) != "null" {
		schema := string(c.JSON)
		var quoted string
		if json.Unmarshal(c.JSON, &quoted) == nil { // the schema as text
			schema = quoted
		}
		kinds = append(kinds, &sluicev1.Constraint{Kind: &sluicev1.Constraint_JsonSchema{JsonSchema: schema}})
	}
	if c.JSONObject != nil && *c.JSONObject {
		kinds = append(kinds, &sluicev1.Constraint{Kind: &sluicev1.Constraint_JsonObject{JsonObject: true}})
	}
	if c.Regex != nil {
		kinds = append(kinds, &sluicev1.Constraint{Kind: &sluicev1.Constraint_Regex{Regex: *c.Regex}})
	}
	if c.Grammar != nil {
		kinds = append(kinds, &sluicev1.Constraint{Kind: &sluicev1.Constraint_Grammar{Grammar: *c.Grammar}})
	}
	if len(c.Choice) > 0 {
		kinds = append(kinds, &sluicev1.Constraint{Kind: &sluicev1.Constraint_Choice{Choice: &sluicev1.Choice{Choices: c.Choice}}})
	}
	switch len(kinds) {
	case 0:
		return nil, nil //nolint:nilnil // none
	case 1:
		return kinds[0], nil
	default:
		return nil, invalid("structured_outputs", "must have exactly one of json, json_object, regex, choice and grammar")
	}
}

// withNames adds to the names that all share.
func withNames(more map[string]string) map[string]string {
	out := maps.Clone(fieldNames)
	maps.Copy(out, more)
	return out
}

// derefOr is what p points to, or a default.
func derefOr[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

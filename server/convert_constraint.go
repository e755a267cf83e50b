package server

import (
	"fmt"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/grammar"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// constraint converts what an output must conform to; nil: anything. What is wrong within a schema, an expression or a
// grammar is found when it is compiled, still before admission.
func constraint(v *violations, in *sluicev1.Constraint) *inference.Constraint {
	if in == nil {
		return nil
	}
	text := func(field string, kind grammar.Kind, text string) *inference.Constraint {
		if text == "" && kind != grammar.KindRegex { // which the empty text matches
			v.addf(field, "must not be empty")
		}
		return &inference.Constraint{Kind: kind, Text: text, Field: field}
	}
	switch kind := in.GetKind().(type) {
	case *sluicev1.Constraint_JsonSchema:
		return text("constraint.json_schema", grammar.KindJSONSchema, kind.JsonSchema)
	case *sluicev1.Constraint_Regex:
		return text("constraint.regex", grammar.KindRegex, kind.Regex)
	case *sluicev1.Constraint_Grammar:
		return text("constraint.grammar", grammar.KindGrammar, kind.Grammar)
	case *sluicev1.Constraint_JsonObject:
		const field = "constraint.json_object"
		if !kind.JsonObject {
			v.addf(field, "must be true")
		}
		return &inference.Constraint{Kind: grammar.KindJSONObject, Field: field}
	case *sluicev1.Constraint_Choice:
		return choice(v, kind.Choice.GetChoices())
	}
	v.addf("constraint", "exactly one of json_schema, json_object, regex, grammar and choice must be set")
	return nil
}

// choice converts a constraint to one of several texts.
func choice(v *violations, choices []string) *inference.Constraint {
	const field = "constraint.choice.choices"
	if len(choices) == 0 {
		v.addf(field, "must have at least one entry")
	}
	for i, text := range choices {
		if text == "" {
			v.addf(fmt.Sprintf("%s[%d]", field, i), "must not be empty")
			break
		}
	}
	return &inference.Constraint{Kind: grammar.KindChoice, Choices: choices, Field: field}
}

//go:build cgo

package server_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// TestConstraints holds the default model to a constraint of each kind, alone and in company, streamed and whole, with the
// parameters that constraints meet.
func TestConstraints(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the real model; run without -short")
	}
	client := generator(servertest.Start(t, []*inference.Model{realModel(t)}))
	isObject := func(text string) bool { return json.Unmarshal([]byte(text), &map[string]any{}) == nil }
	person := func(text string) bool {
		var p struct {
			Name string
			Age  *int
			Tags []string
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		return d.Decode(&p) == nil && p.Name != "" && p.Age != nil && *p.Age >= 1 && *p.Age <= 120 && len(p.Tags) <= 3
	}
	cities := []string{"Paris", "Paris, France", "Rome", "東京"}
	kinds := map[string]struct {
		constraint *sluicev1.Constraint
		holds      func(text string) bool
	}{
		"json_schema": {schema(`{"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":12},"age":{"type":"integer","minimum":1,"maximum":120},"tags":{"type":"array","items":{"type":"string","maxLength":8},"maxItems":3}},"required":["name","age"],"additionalProperties":false}`), person},
		"json_object": {&sluicev1.Constraint{Kind: &sluicev1.Constraint_JsonObject{JsonObject: true}}, isObject},
		"regex":       {&sluicev1.Constraint{Kind: &sluicev1.Constraint_Regex{Regex: `[A-Z][a-zé]{2,20}(, [A-Z][a-z]{2,9}){1,2}\.`}}, regexp.MustCompile(`^[A-Z][a-zé]{2,20}(, [A-Z][a-z]{2,9}){1,2}\.$`).MatchString},
		"grammar":     {&sluicev1.Constraint{Kind: &sluicev1.Constraint_Grammar{Grammar: "root ::= sum \" = \" [0-9]{1,3}\nsum ::= sum \" + \" [0-9]{1,2} | [0-9]{1,2}\n"}}, regexp.MustCompile(`^[0-9]{1,2}( \+ [0-9]{1,2})* = [0-9]{1,3}$`).MatchString},
		"choice":      {&sluicev1.Constraint{Kind: &sluicev1.Constraint_Choice{Choice: &sluicev1.Choice{Choices: cities}}}, func(text string) bool { return slices.Contains(cities, text) }},
	}
	samplings := map[string]*sluicev1.Sampling{
		"greedy":     {Temperature: new(float32)},
		"n":          {Temperature: new(float32(1)), N: new(uint32(4))},
		"min_tokens": {Temperature: new(float32(1)), MinTokens: new(uint32(60))},
		"penalties":  {Temperature: new(float32(1.5)), FrequencyPenalty: new(float32(1)), RepetitionPenalty: new(float32(1.2)), TopK: new(uint32(5))},
		"ignore_eos": {Temperature: new(float32(1)), IgnoreEos: new(true)},
		"bad_words":  {Temperature: new(float32(1)), BadWords: []string{"Paris", "zzz"}, LogitBias: map[uint32]float32{0: 100}},
	}
	for kind, c := range kinds {
		for name, sampling := range samplings {
			sampling.MaxTokens, sampling.Seed = new(uint32(150)), new(uint64(7))
			in := &sluicev1.GenerateRequest{
				Input:    &sluicev1.GenerateRequest_Prompt{Prompt: "Answer with JSON, a city or a sum:\n"},
				Sampling: sampling, Constraint: c.constraint, Output: &sluicev1.OutputOptions{Logprobs: new(uint32(1))},
			}
			whole, err := client.Generate(t.Context(), in)
			if err != nil {
				t.Errorf("%s, %s: %v", kind, name, err)
				continue
			}
			for _, output := range whole.GetOutputs() {
				if output.GetFinishReason() == sluicev1.FinishReason_FINISH_REASON_STOP && !c.holds(output.GetText()) {
					t.Errorf("%s, %s: %q does not conform", kind, name, output.GetText())
				}
				if output.GetFinishReason() != sluicev1.FinishReason_FINISH_REASON_STOP && kind != "json_object" && name != "ignore_eos" && kind != "grammar" {
					t.Errorf("%s, %s: %q ends with %v", kind, name, output.GetText(), output.GetFinishReason())
				}
			}
			if len(whole.GetOutputs()) > 1 {
				continue
			}
			streamed, err := stream(t.Context(), t, client, in)
			if err != nil || strings.Join(streamed.deltas, "") != whole.GetOutputs()[0].GetText() {
				t.Errorf("%s, %s: %q is streamed as %q, %v", kind, name, whole.GetOutputs()[0].GetText(), streamed.deltas, err)
			}
		}
	}
}

// TestBadConstraints: what cannot be imposed is refused before the first message, with the field and its place.
func TestBadConstraints(t *testing.T) {
	client := generator(servertest.Start(t, []*inference.Model{servertest.Toy{}.Model(t)}))
	for name, test := range map[string]struct {
		constraint *sluicev1.Constraint
		field      string
		says       string
	}{
		"no kind":     {&sluicev1.Constraint{}, "constraint", "exactly one"},
		"json_object": {&sluicev1.Constraint{Kind: &sluicev1.Constraint_JsonObject{}}, "constraint.json_object", "must be true"},
		"keyword":     {schema(`{"properties":{"a":{"uniqueItems":true}}}`), "constraint.json_schema", "#/properties/a/uniqueItems"},
		"not JSON":    {schema(`{`), "constraint.json_schema", "not valid JSON"},
		"impossible":  {schema(`false`), "constraint.json_schema", "no text conforms"},
		"regex":       {&sluicev1.Constraint{Kind: &sluicev1.Constraint_Regex{Regex: `a\b`}}, "constraint.regex", "word boundaries"},
		"states":      {&sluicev1.Constraint{Kind: &sluicev1.Constraint_Regex{Regex: `(a|b)*a(a|b){40}`}}, "constraint.regex", "more than"},
		"grammar":     {&sluicev1.Constraint{Kind: &sluicev1.Constraint_Grammar{Grammar: "root ::= missing"}}, "constraint.grammar", "not defined"},
		"choice":      {&sluicev1.Constraint{Kind: &sluicev1.Constraint_Choice{Choice: &sluicev1.Choice{Choices: []string{"a", ""}}}}, "constraint.choice.choices[1]", "empty"},
		"no choices":  {&sluicev1.Constraint{Kind: &sluicev1.Constraint_Choice{}}, "constraint.choice.choices", "at least one"},
	} {
		in := greedy("hello", 4)
		in.Constraint = test.constraint
		_, err := client.Generate(t.Context(), in)
		_, streamErr := stream(t.Context(), t, client, in)
		for _, err := range []error{err, streamErr} {
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s: %v", name, err)
				continue
			}
			found := false
			for _, detail := range status.Convert(err).Details() {
				if bad, ok := detail.(*errdetails.BadRequest); ok {
					for _, v := range bad.GetFieldViolations() {
						found = found || v.GetField() == test.field && strings.Contains(v.GetDescription(), test.says)
					}
				}
			}
			if !found {
				t.Errorf("%s: %v has no violation of %s that says %q", name, status.Convert(err).Details(), test.field, test.says)
			}
		}
	}
}

func schema(text string) *sluicev1.Constraint {
	return &sluicev1.Constraint{Kind: &sluicev1.Constraint_JsonSchema{JsonSchema: text}}
}

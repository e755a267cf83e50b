package inference

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/grammar"
)

// TestCallGrammar: what a required call is held to in a form that writes arguments one by one, and what is refused.
func TestCallGrammar(t *testing.T) {
	t.Parallel()
	tool := Tool{Name: "f", Parameters: `{"type": "object", "properties": {"text": {"type": "string"}, "kind": {"enum": ["a\"", "b"]}, "n": {"type": "integer"}}, "required": ["text"]}`}
	c, err := callGrammar(answer.Qwen3Coder, []Tool{tool})
	if err != nil {
		t.Fatal(err)
	}
	var tokens [][]byte
	for b := range 256 {
		tokens = append(tokens, []byte{byte(b)})
	}
	g, err := grammar.Compile(nil, c, grammar.NewVocabulary(append(tokens, nil), []uint32{256}))
	if err != nil {
		t.Fatal(err)
	}
	const head, end = "<function=f>\n<parameter=text>\n", "\n</parameter>\n</function>\n</tool_call>"
	for text, want := range map[string]bool{
		head + "a <b>\nc" + end: true,
		head + end:              true,
		head + "a</b>" + end:    false,
		head + "a\n</parameter>\n<parameter=kind>\na\"" + end: true,
		head + "a\n</parameter>\n<parameter=kind>\nc" + end:   false,
		head + "a\n</parameter>\n<parameter=n>\n12" + end:     true,
		head + "a\n</parameter>\n<parameter=n>\nx" + end:      false,
		"<function=f>\n<parameter=n>\n12" + end:               false, // text is required
		"<function=g>\n</function>\n</tool_call>":             false,
	} {
		m, err := g.NewMatcher()
		if err != nil {
			t.Fatal(err)
		}
		ok, err := m.AcceptBytes([]byte(text))
		if err != nil || (ok && m.MayEnd()) != want {
			t.Errorf("%q: %t, %v", text, ok && m.MayEnd(), err)
		}
	}
	for parameters, quote := range map[string]string{
		`{"type": "object", "properties": {"a": {"type": "string", "pattern": "^x"}}}`: "pattern",
		`{"type": "object", "anyOf": [{"required": ["a"]}]}`:                           "anyOf",
		`{"type": "object", "required": ["a"]}`:                                        "required",
	} {
		_, err := callGrammar(answer.GLM, []Tool{{Name: "f", Parameters: parameters}})
		invalid, ok := errors.AsType[*InvalidError](err)
		if !ok || invalid.Violations[0].Quote != quote {
			t.Errorf("%s: %v", parameters, err)
		}
	}
}

// TestIsText: an argument's declared type says whether its text is a string.
func TestIsText(t *testing.T) {
	t.Parallel()
	is := isText([]Tool{{Name: "f", Parameters: `{"properties": {"s": {"type": "string"}, "e": {"enum": ["1", "2"]}, "c": {"const": "x"}, "n": {"type": "integer"}, "m": {"enum": ["1", 2]}, "u": {"type": ["string", "null"]}, "t": true}}`}})
	var got []string
	for _, name := range []string{"s", "e", "c", "n", "m", "u", "t", "none"} {
		if is("f", name) {
			got = append(got, name)
		}
	}
	if diff := cmp.Diff([]string{"s", "e", "c"}, got); diff != "" || is("g", "s") {
		t.Error(diff)
	}
}

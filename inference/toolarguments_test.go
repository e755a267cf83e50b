package inference

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
	g, err := grammar.Compile(nil, c, byteVocabulary())
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

// byteVocabulary has a token of each byte, and an end token.
func byteVocabulary() *grammar.Vocabulary {
	var tokens [][]byte
	for b := range 256 {
		tokens = append(tokens, []byte{byte(b)})
	}
	return grammar.NewVocabulary(append(tokens, nil), []uint32{256})
}

// oneByOne are the forms of calls that write arguments one by one.
func oneByOne() []answer.CallFormat {
	return []answer.CallFormat{answer.Qwen3Coder, answer.Seed, answer.GLM, answer.MiniMax, answer.DeepSeek32}
}

// TestCallGrammarIsBounded: it has each tool's schema once at most, however many arguments there are, and too large ones
// are refused before any is made.
func TestCallGrammarIsBounded(t *testing.T) {
	t.Parallel()
	properties := make([]string, 20_000)
	for i := range properties {
		properties[i] = fmt.Sprintf(`"property%d": {"type": %q}`, i, []string{"string", "integer"}[i%2])
	}
	many := Tool{Name: "f", Parameters: `{"type": "object", "properties": {` + strings.Join(properties, ", ") + `}}`}
	large := Tool{Name: "f", Parameters: `{"type": "object", "description": "` + strings.Repeat("x", grammar.MaxSource/2) + `", "properties": {"n": {"type": "integer"}}}`}
	for _, form := range oneByOne() {
		c, err := callGrammar(form, []Tool{many})
		if err != nil || len(c.Text) > 8*len(many.Parameters) {
			t.Errorf("%v: %d bytes of %d: %v", form, len(c.Text), len(many.Parameters), err)
		}
		if _, err = callGrammar(form, []Tool{large, large}); err == nil {
			t.Errorf("%v: tools beyond the limit are taken", form)
		} else if _, ok := errors.AsType[*InvalidError](err); !ok {
			t.Errorf("%v: %v", form, err)
		}
	}
}

// TestCallGrammarOfManyTools: as many as agents declare, with descriptions.
func TestCallGrammarOfManyTools(t *testing.T) {
	t.Parallel()
	var tools []Tool
	for i := range 40 {
		var properties []string
		for j := range 5 {
			properties = append(properties, fmt.Sprintf(`"a%d": {"$ref": "#/$defs/n", "description": %q}`, j, strings.Repeat("Why and how. ", 120)))
		}
		tools = append(tools, Tool{
			Name:       fmt.Sprintf("tool_%d", i),
			Parameters: `{"type": "object", "$defs": {"n": {"type": "integer", "minimum": 0}}, "properties": {` + strings.Join(properties, ", ") + `}, "required": ["a4"]}`,
		})
	}
	v := byteVocabulary()
	for _, form := range oneByOne() {
		c, err := callGrammar(form, tools)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := grammar.Compile(nil, c, v); err != nil {
			t.Errorf("%v: %d bytes: %v", form, len(c.Text), err)
		}
	}
}

// TestArgumentNames: whatever they are, the schema of the argument is found.
func TestArgumentNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a%41", "%", "a/b", "a~1b", "#", "é", `x\"y`} {
		c, err := callGrammar(answer.GLM, []Tool{{Name: "f", Parameters: fmt.Sprintf(`{"properties": {%s: {"type": "integer"}}}`, marshalled(t, name))}})
		if err != nil {
			t.Fatal(err)
		}
		g, err := grammar.Compile(nil, c, byteVocabulary())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for value, want := range map[string]bool{"5": true, "x": false} {
			m, err := g.NewMatcher()
			if err != nil {
				t.Fatal(err)
			}
			ok, err := m.AcceptBytes([]byte("f<arg_key>" + name + "</arg_key><arg_value>" + value + "</arg_value></tool_call>"))
			if ok = ok && m.MayEnd(); ok != want || err != nil {
				t.Errorf("%s of %s: %t, %v; the grammar is %s", value, name, ok, err, c.Text)
			}
		}
	}
}

// TestGemmaArgumentNames: in Gemma's forms a name stands between quotes unless it is read as it is, and a required call is read
// with the names that the schema has.
func TestGemmaArgumentNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1000)
	for form, quote := range map[answer.CallFormat]string{answer.Gemma: `<|"|>`, answer.FunctionGemma: "<escape>"} {
		for name, written := range map[string]string{
			"plain": "plain", "two words": "two words", "é.b-c": "é.b-c", "$a": "$a",
			"dc:title": "", "a{": "", "}": "", "a[0]": "", "a,b": "", `a"b`: "", "a<b": "", "": "", " a": "", "a\n": "", long: "",
			"a" + quote: string(marshalled(t, "a"+quote)),
		} {
			if written == "" {
				written = quote + name + quote
			}
			tool := Tool{Name: "f", Parameters: fmt.Sprintf(`{"properties": {"n": {"type": "integer"}, %s: {"type": "integer"}, "s": {"type": "string"}}, "required": [%[1]s]}`, marshalled(t, name))}
			c, err := callGrammar(form, []Tool{tool})
			if err != nil {
				t.Fatal(err)
			}
			g, err := grammar.Compile(nil, c, byteVocabulary())
			if err != nil {
				t.Errorf("%s, %q: %v", form, name, err)
				continue
			}
			m, err := g.NewMatcher()
			if err != nil {
				t.Fatal(err)
			}
			end := map[answer.CallFormat]string{answer.Gemma: "<tool_call|>", answer.FunctionGemma: "<end_function_call>"}[form]
			text := "call:f{n:1," + written + ":5,s:" + quote + "x" + quote + "}" + end
			if ok, err := m.AcceptBytes([]byte(text)); !ok || !m.MayEnd() || err != nil {
				t.Errorf("%s does not let %q be written: %v; the grammar is %s", form, text, err, c.Text)
			}
			p := answer.New(answer.Config{Calls: form, Tools: []string{"f"}, NewID: func() string { return "1" }})
			d := p.Add(answer.Lead(form, []string{"f"}) + text)
			want := fmt.Sprintf(`{"n":1,%s:5,"s":"x"}`, marshalled(t, name))
			if len(d.Calls) != 1 || !sameObject(d.Calls[0].Arguments, want) {
				t.Errorf("%s: %q is read as %+v", form, text, d)
			}
		}
	}
}

// marshalled is the JSON text of a string.
func marshalled(t *testing.T, text string) []byte {
	t.Helper()
	data, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sameObject says whether two texts are the same JSON object.
func sameObject(a, b string) bool {
	var x, y map[string]any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	return cmp.Equal(x, y)
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

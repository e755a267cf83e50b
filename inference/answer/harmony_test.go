package answer_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/answer"
)

// harmonyConfig is that of gpt-oss.
func harmonyConfig() answer.Config {
	c := config(answer.Harmony)
	for _, r := range answer.Reasonings() {
		if r.Name == "harmony" {
			c.Reasoning = r
		}
	}
	return c
}

func TestHarmony(t *testing.T) {
	t.Parallel()
	const weather = `get_weather({"location": "Zürich"})`
	const analysis = "<|channel|>analysis<|message|>The user asks.\n\nI call.<|end|>"
	const call = `<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"location": "Zürich"}`
	tests := []struct {
		name, in string
		want     whole
	}{
		{"final", "<|channel|>final<|message|>Hello < you<|return|>", whole{Text: "Hello < you"}},
		{"the end token is not in the text", "<|channel|>final<|message|>Hello ", whole{Text: "Hello "}},
		{"reasoning", "<|channel|>analysis<|message|> Why? <|end|><|start|>assistant<|channel|>final<|message|>\nBecause.<|return|>", whole{Reasoning: "Why?", Text: "Because."}},
		{"reasoning twice", analysis + "<|start|>assistant<|channel|>analysis<|message|>So.<|end|><|start|>assistant<|channel|>final<|message|>X", whole{Reasoning: "The user asks.\n\nI call.\n\nSo.", Text: "X"}},
		{"reasoning is cut", "<|channel|>analysis<|message|>Why <", whole{Reasoning: "Why <"}},
		{"a call", analysis + call + "<|call|>", whole{Reasoning: "The user asks.\n\nI call.", Calls: []string{weather}}},
		{"a call whose end token is not in the text", call, whole{Calls: []string{weather}}},
		{"the recipient stands first", ` to=functions.get_weather<|channel|>commentary json<|message|>{"location": "Zürich"}<|call|>`, whole{Calls: []string{weather}}},
		{"no name space", `<|channel|>commentary to=add code<|message|> {"a": 1} <|call|>`, whole{Calls: []string{`add({"a": 1})`}}},
		{"on analysis", `<|channel|>analysis to=functions.add<|message|>{"a": 1}<|call|>`, whole{Calls: []string{`add({"a": 1})`}}},
		{"a preamble", "<|channel|>commentary<|message|>I look.<|end|>" + call + "<|call|>", whole{Text: "I look.", Calls: []string{weather}}},
		{"two calls and text", call + "<|call|>" + call + "<|call|><|start|>assistant<|channel|>commentary<|message|>One.<|end|><|start|>assistant<|channel|>final<|message|>Two.", whole{Text: "One.\n\nTwo.", Calls: []string{weather, weather}}},
		{"a call is cut", analysis + strings.TrimSuffix(call, "}"), whole{Reasoning: "The user asks.\n\nI call.", Text: strings.TrimSuffix(call, "}")}},
		{"no tool of that name", `<|channel|>commentary to=functions.rm <|constrain|>json<|message|>{"a": 1}<|call|>`, whole{Text: `<|channel|>commentary to=functions.rm <|constrain|>json<|message|>{"a": 1}`}},
		{"no JSON", "<|channel|>final<|message|>A<|end|>" + `<|start|>assistant to=functions.add<|channel|>commentary<|message|>{"a": one}<|call|>`, whole{Text: "A\n\n" + `<|start|>assistant to=functions.add<|channel|>commentary<|message|>{"a": one}`}},
		{"no object", `<|channel|>commentary to=functions.add<|message|>[1]<|call|>`, whole{Text: `<|channel|>commentary to=functions.add<|message|>[1]`}},
		{"no header", "to be or <|not|> to be <|return|>", whole{Text: "to be or <|not|> to be"}},
		{"a header is cut", analysis + "<|start|>assistant<|chan", whole{Reasoning: "The user asks.\n\nI call."}},
		{"an endless header", "<|channel|>" + strings.Repeat("x ", 400), whole{Text: "<|channel|>" + strings.Repeat("x ", 400)}},
		{"an endless header that ends", "<|channel|>" + strings.Repeat("x ", 400) + "<|message|>hi", whole{Text: "<|channel|>" + strings.Repeat("x ", 400) + "<|message|>hi"}},
		{"an endless header before a message", "<|channel|>" + strings.Repeat("x", 700) + "<|end|><|start|>assistant<|channel|>final<|message|>Hi", whole{Text: "<|channel|>" + strings.Repeat("x", 700) + "\n\nHi"}},
		{"endless headers that start", strings.Repeat("<|start|>", 300) + "x", whole{}},
		{"a header as long as may be", "<|channel|>final " + strings.Repeat("x", 612-28) + "<|message|>Hi", whole{Text: "Hi"}},
		{"white space behind the last message", "<|channel|>final<|message|>Hi<|end|>\n ", whole{Text: "Hi"}},
		{"white space behind the last call", call + "\n<|call|> \n<|end|>\n", whole{Calls: []string{weather}}},
		{"white space", "\n \n", whole{}},
		{"text behind a message", "<|channel|>final<|message|>A<|end|>\nto", whole{Text: "A\n\nto"}},
		{"the end of the message before", "<|end|><|start|>assistant<|channel|>final<|message|>X", whole{Text: "X"}},
		{"nothing", "", whole{}},
	}
	for _, test := range tests {
		for _, size := range []int{1, 2, 3, 7, 1000} {
			if diff := cmp.Diff(test.want, parse(t, harmonyConfig(), pieces(test.in, size)...)); diff != "" {
				t.Errorf("%s, in pieces of %d (-want +got):\n%s", test.name, size, diff)
			}
		}
	}
}

// TestHarmonyWithoutTools: channels are told apart where there is no tool to call, and reasoning is text where it is not
// asked for.
func TestHarmonyWithoutTools(t *testing.T) {
	t.Parallel()
	const in = `<|channel|>analysis<|message|>Why?<|end|><|start|>assistant<|channel|>final<|message|>Because.<|return|>`
	c := harmonyConfig()
	c.Calls, c.Tools = answer.NoCalls, nil
	if diff := cmp.Diff(whole{Reasoning: "Why?", Text: "Because."}, parse(t, c, pieces(in, 1)...)); diff != "" {
		t.Errorf("no calls (-want +got):\n%s", diff)
	}
	c = harmonyConfig()
	c.Reasoning = answer.Reasoning{}
	if diff := cmp.Diff(whole{Text: "Why?\n\nBecause."}, parse(t, c, pieces(in, 1)...)); diff != "" {
		t.Errorf("no reasoning (-want +got):\n%s", diff)
	}
	c = harmonyConfig()
	c.Reasons = true // the prompt has opened it
	if diff := cmp.Diff(whole{Reasoning: "So", Text: "X"}, parse(t, c, pieces("So<|end|><|start|>assistant<|channel|>final<|message|>X", 1)...)); diff != "" {
		t.Errorf("opened (-want +got):\n%s", diff)
	}
}

package answer_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/answer"
)

func TestGemma(t *testing.T) {
	t.Parallel()
	const call = `<|tool_call>call:get_weather{location:<|"|>Zürich "x"\ <b><|"|>}<tool_call|>`
	const read = `get_weather({"location":"Zürich \"x\"\\ <b>"})`
	tests := []struct {
		name, in string
		want     whole
	}{
		{"a call", call, whole{Calls: []string{read}}},
		{"a call without end", strings.TrimSuffix(call, "<tool_call|>"), whole{Calls: []string{read}}},
		{"calls without end", strings.TrimSuffix(call, "<tool_call|>") + "\n" + call, whole{Calls: []string{read, read}}},
		{"half an end", strings.TrimSuffix(call, "call|>") + "s", whole{Text: "<tool_s", Calls: []string{read}}},
		{"text and calls", "I look. " + call + call + "\nDone.", whole{Text: "I look.Done.", Calls: []string{read, read}}},
		{"reasoning", "<|channel>thought\nWhy?\n<channel|>" + call, whole{Reasoning: "Why?", Calls: []string{read}}},
		{"no arguments", "<|tool_call>call:add{}<tool_call|>", whole{Calls: []string{`add({})`}}},
		{
			"values", `<|tool_call>call:add{a:-1.5e3, b:[<|"|>x<|"|>,[],{}, null ,True],c:{<|"|>d:e<|"|>:"f\"\u00e9","g":None,h:<|"|>` + "\n" + `<|<|"|>}}<tool_call|>`,
			whole{Calls: []string{`add({"a":-1.5e3,"b":["x",[],{},null,true],"c":{"d:e":"f\"\u00e9","g":null,"h":"\n<|"}})`}},
		},
		{
			"keys", `<|tool_call>call:add{a :1,"b" :2, "x\":y" : 3,<|"|>d"c:t<|"|>:4,"<|\"|>":5,<|"|><|"|>:6}`,
			whole{Calls: []string{`add({"a":1,"b":2,"x\":y":3,"d\"c:t":4,"<|\"|>":5,"":6})`}},
		},
		{"a key that is none", "<|tool_call>call:add{a:1,}<tool_call|><|tool_call>call:add{a:2}<tool_call|>", whole{Text: "<|tool_call>call:add{a:1,}<tool_call|>", Calls: []string{`add({"a":2})`}}},
		{"a key without a colon", "<|tool_call>call:add{a:1,b<tool_call|><|tool_call>call:add{a:2}<tool_call|>", whole{Text: "<|tool_call>call:add{a:1,b<tool_call|>", Calls: []string{`add({"a":2})`}}},
		{"a mark for a key", "<|tool_call>call:add{<|tool_call>call:add{a:2}<tool_call|>", whole{Text: "<|tool_call>call:add{", Calls: []string{`add({"a":2})`}}},
		{"a mark in a name", "<|tool_call>call:add<|tool_call>call:add{a:2}<tool_call|>", whole{Text: "<|tool_call>call:add", Calls: []string{`add({"a":2})`}}},
		{"brackets in a key", "<|tool_call>call:add{a{:1}", whole{Text: "<|tool_call>call:add{a{:1}"}},
		{"an empty key", "<|tool_call>call:add{ :1}", whole{Text: "<|tool_call>call:add{ :1}"}},
		{"a quoted key without a colon", `<|tool_call>call:add{"a"1}`, whole{Text: `<|tool_call>call:add{"a"1}`}},
		{"a list with a colon", `<|tool_call>call:add{a:["b":1]}`, whole{Text: `<|tool_call>call:add{a:["b":1]}`}},
		{"no tool of that name", "<|tool_call>call:rm{a:1}<tool_call|>", whole{Text: "<|tool_call>call:rm{a:1}<tool_call|>"}},
		{"no value", "<|tool_call>call:add{a:1,b:}<tool_call|>", whole{Text: "<|tool_call>call:add{a:1,b:}<tool_call|>"}},
		{"no word", "<|tool_call>call:add{a:one}", whole{Text: "<|tool_call>call:add{a:one}"}},
		{"a mark in a word", "<|tool_call>call:add{a:1<tool_call|><|tool_call>call:add{a:2}<tool_call|>", whole{Text: "<|tool_call>call:add{a:1<tool_call|>", Calls: []string{`add({"a":2})`}}},
		{"a comma too many", "<|tool_call>call:add{a:[1,]}", whole{Text: "<|tool_call>call:add{a:[1,]}"}},
		{"the wrong bracket", "<|tool_call>call:add{a:[1}}", whole{Text: "<|tool_call>call:add{a:[1}}"}},
		{"a call in a call", "<|tool_call>call:add{a:<|tool_call>call:add{a:2}", whole{Text: "<|tool_call>call:add{a:", Calls: []string{`add({"a":2})`}}},
		{"cut", `<|tool_call>call:add{a:<|"|>x<|`, whole{Text: `<|tool_call>call:add{a:<|"|>x<|`}},
		{"too deep", "<|tool_call>call:add{a:" + strings.Repeat("[", 100), whole{Text: "<|tool_call>call:add{a:" + strings.Repeat("[", 100)}},
	}
	for _, test := range tests {
		for _, size := range []int{1, 2, 3, 7, 1000} {
			c := config(answer.Gemma)
			c.Reasoning, _ = answer.DetectReasoning("<channel|>", func(string) bool { return false })
			if diff := cmp.Diff(test.want, parse(t, c, pieces(test.in, size)...)); diff != "" {
				t.Errorf("%s, in pieces of %d (-want +got):\n%s", test.name, size, diff)
			}
		}
	}
	const other = "<start_function_call>call:get_weather{location:<escape>Zürich<escape>,days:3}<end_function_call>"
	if diff := cmp.Diff(whole{Calls: []string{`get_weather({"location":"Zürich","days":3})`}}, parse(t, config(answer.FunctionGemma), pieces(other, 1)...)); diff != "" {
		t.Error(diff)
	}
	const endless = "<start_function_call>call:add{a:1}<start_function_call>call:add{a:2}<end_function_call>"
	for _, size := range []int{1, 2, 3, 7, 1000} {
		want := whole{Calls: []string{`add({"a":1})`, `add({"a":2})`}}
		if diff := cmp.Diff(want, parse(t, config(answer.FunctionGemma), pieces(endless, size)...)); diff != "" {
			t.Errorf("in pieces of %d: %s", size, diff)
		}
	}
}

package answer_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/answer"
)

// whole is an answer put together again.
type whole struct {
	Reasoning, Text string
	Calls           []string // name(arguments), with the id before it if the model gave one
}

func config(form answer.CallFormat) answer.Config {
	next := 0
	return answer.Config{
		Reasoning: answer.Reasonings()[0], Calls: form, Tools: []string{"get_weather", "add", "brave_search", "python"},
		NewID:  func() string { next++; return fmt.Sprintf("#%d", next) },
		IsText: func(tool, argument string) bool { return tool == "get_weather" && argument == "location" },
	}
}

// parse reads pieces and holds the deltas to their promises.
func parse(t *testing.T, c answer.Config, pieces ...string) whole {
	t.Helper()
	p := answer.New(c)
	var w whole
	type part struct{ id, name, arguments string }
	var calls []part
	collect := func(d answer.Delta) {
		w.Reasoning += d.Reasoning
		w.Text += d.Text
		for _, call := range d.Calls {
			switch {
			case call.Retracted:
				if call.Index != len(calls)-1 {
					t.Errorf("call %d is retracted after %d", call.Index, len(calls))
					return
				}
				calls = calls[:call.Index]
			case call.Name != "":
				if call.Index != len(calls) || call.ID == "" {
					t.Errorf("call %+v begins after %d", call, len(calls))
					return
				}
				calls = append(calls, part{call.ID, call.Name, call.Arguments})
			case call.Index != len(calls)-1:
				t.Errorf("more of call %d after %d", call.Index, len(calls))
				return
			default:
				calls[call.Index].arguments += call.Arguments
			}
		}
	}
	for _, piece := range pieces {
		collect(p.Add(piece))
	}
	collect(p.Flush())
	if p.Calls() != len(calls) {
		t.Errorf("%d whole calls of %d", p.Calls(), len(calls))
	}
	for _, call := range calls {
		var object map[string]any
		if err := json.Unmarshal([]byte(call.arguments), &object); err != nil {
			t.Errorf("the arguments %q: %v", call.arguments, err)
		}
		id := call.id
		if strings.HasPrefix(id, "#") {
			id = ""
		}
		w.Calls = append(w.Calls, id+call.name+"("+call.arguments+")")
	}
	return w
}

// pieces cuts a text into pieces of n characters.
func pieces(s string, n int) []string {
	var out []string
	runes := []rune(s)
	for len(runes) > n {
		out = append(out, string(runes[:n]))
		runes = runes[n:]
	}
	return append(out, string(runes))
}

func TestParser(t *testing.T) {
	t.Parallel()
	const hermes, llama, mistral, plain, none = answer.Hermes, answer.Llama3, answer.Mistral, answer.JSON, answer.NoCalls
	const granite, deepseek, coder, seed, glm = answer.Granite, answer.DeepSeek, answer.Qwen3Coder, answer.Seed, answer.GLM
	weather := `get_weather({"location": "Zürich"})`
	tests := []struct {
		name string
		form answer.CallFormat
		in   string
		want whole
	}{
		{"text", none, " Hello <tool_call>\n", whole{Text: " Hello <tool_call>\n"}},
		{"text of a model with calls", hermes, " Hello < you \n", whole{Text: " Hello < you \n"}},
		{"nothing", hermes, "", whole{}},
		{"reasoning", none, "\n<think>\nWhy?\n\nSo.\n</think>\n\nBecause. ", whole{Reasoning: "Why?\n\nSo.", Text: "Because. "}},
		{"reasoning without end", none, "<think>Why", whole{Reasoning: "Why"}},
		{"empty reasoning", none, "<think>\n\n</think>\n\nBecause", whole{Text: "Because"}},
		{"tags later", none, "Use <think> and </think>.", whole{Text: "Use <think> and </think>."}},
		{"half a tag", none, "<thi", whole{Text: "<thi"}},
		{"a call while it thinks", hermes, `<think><tool_call>{"name": "add"}</think>x`, whole{Reasoning: `<tool_call>{"name": "add"}`, Text: "x"}},

		{"hermes", hermes, "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"location\": \"Zürich\"}}\n</tool_call>", whole{Calls: []string{weather}}},
		{
			"hermes, thought and text", hermes, "<think>a</think>\n\nLet me see. \n<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"location\": \"Zürich\"}}</tool_call>\n<tool_call>\n{\"arguments\": {\"a\": [1, {\"b\": \"}\\\"\"}]}, \"name\": \"add\"}\n</tool_call>\nDone.",
			whole{Reasoning: "a", Text: "Let me see.Done.", Calls: []string{weather, `add({"a": [1, {"b": "}\""}]})`}},
		},
		{"hermes without its end", hermes, `<tool_call>{"name": "add", "arguments": {}}`, whole{Calls: []string{"add({})"}}},
		{"hermes without its end, two", hermes, "<tool_call>{\"name\": \"add\"}\n<tool_call>{\"name\": \"add\"}</tool", whole{Calls: []string{"add({})", "add({})"}}},
		{"hermes without arguments", hermes, `<tool_call>{"name": "add"}</tool_call>`, whole{Calls: []string{"add({})"}}},
		{"hermes, quoted arguments", hermes, `<tool_call>{"name": "add", "arguments": "{\"a\": 1}"}</tool_call>`, whole{Calls: []string{`add({"a": 1})`}}},
		{"hermes, OpenAI's object", hermes, `<tool_call>{"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}</tool_call>`, whole{Calls: []string{`c1add({"a": 1})`}}},
		{"hermes, unknown tool", hermes, "x <tool_call>{\"name\": \"rm\", \"arguments\": {}}</tool_call>", whole{Text: "x <tool_call>{\"name\": \"rm\", \"arguments\": {}}</tool_call>"}},
		{"hermes, no JSON", hermes, "<tool_call>get_weather(Z)</tool_call> and", whole{Text: "<tool_call>get_weather(Z)</tool_call> and"}},
		{"hermes, bad arguments", hermes, `<tool_call>{"name": "add", "arguments": {"a": 1,}}</tool_call>`, whole{Text: `<tool_call>{"name": "add", "arguments": {"a": 1,}}</tool_call>`}},
		{"hermes, cut", hermes, `Hm. <tool_call>{"name": "add", "arguments": {"a": 1`, whole{Text: `Hm. <tool_call>{"name": "add", "arguments": {"a": 1`}},
		{"hermes, arguments that are none", hermes, `<tool_call>{"name": "add", "arguments": [1]}</tool_call>`, whole{Text: `<tool_call>{"name": "add", "arguments": [1]}</tool_call>`}},
		{"hermes, a good one after a bad one", hermes, `<tool_call>{"name": <tool_call>{"name": "add"}</tool_call>`, whole{Text: `<tool_call>{"name": `, Calls: []string{"add({})"}}},
		{"hermes, a bad one after a good one", hermes, `<tool_call>{"name": "add"}</tool_call><tool_call>{"nam`, whole{Text: `<tool_call>{"nam`, Calls: []string{"add({})"}}},
		{"hermes, half a mark", hermes, "a <tool_ca", whole{Text: "a <tool_ca"}},

		{"llama", llama, `{"name": "add", "parameters": {"a": 1}}`, whole{Calls: []string{`add({"a": 1})`}}},
		{"llama with type", llama, ` {"type": "function", "name": "add", "parameters": {"a": 1}}`, whole{Calls: []string{`add({"a": 1})`}}},
		{"llama, two", llama, `<|python_tag|>{"name": "add", "parameters": {}}; {"name": "add", "parameters": {"b": null}}`, whole{Calls: []string{"add({})", `add({"b": null})`}}},
		{"llama, then text", llama, `{"name": "add", "parameters": {}} is it`, whole{Text: "is it", Calls: []string{"add({})"}}},
		{"llama, other JSON", llama, `{"answer": 42}`, whole{Text: `{"answer": 42}`}},
		{"llama, JSON in a text", llama, `Try {"name": "add", "parameters": {}}`, whole{Text: `Try {"name": "add", "parameters": {}}`}},
		{"llama, built-in", llama, `<|python_tag|>brave_search.call(query="a \"b\", c", n=3)`, whole{Calls: []string{`brave_search({"query": "a \"b\", c", "n": 3})`}}},
		{"llama, a program", llama, "<|python_tag|>print(1)\nprint(\"é\")", whole{Calls: []string{`python({"code":"print(1)\nprint(\"é\")"})`}}},
		{"llama, an unknown built-in", llama, `<|python_tag|>rm.call(a=1)`, whole{Text: `<|python_tag|>rm.call(a=1)`}},

		{"mistral, list", mistral, `[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}, "id": "abcdefghi"}, {"name": "add", "arguments": {}}]`, whole{Calls: []string{`add({"a": 1})`, "add({})"}}},
		{"mistral, id first", mistral, `[TOOL_CALLS][{"id": "abcdefghi", "name": "add", "arguments": {"a": 1}}]`, whole{Calls: []string{`abcdefghiadd({"a": 1})`}}},
		{"mistral, names", mistral, `Yes.[TOOL_CALLS]add{"a": "é"}[TOOL_CALLS]add[ARGS]{}`, whole{Text: "Yes.", Calls: []string{`add({"a": "é"})`, "add({})"}}},
		{"mistral, names with ids", mistral, `[TOOL_CALLS]add[CALL_ID]123456789[ARGS]{"a": 1}`, whole{Calls: []string{`123456789add({"a": 1})`}}},
		{"mistral, unknown name", mistral, `[TOOL_CALLS]rm{"a": 1}`, whole{Text: `[TOOL_CALLS]rm{"a": 1}`}},
		{"mistral, cut", mistral, `[TOOL_CALLS]add{"a": `, whole{Text: `[TOOL_CALLS]add{"a": `}},
		{"mistral, list that is cut", mistral, `[TOOL_CALLS][{"name": "add"}, {"na`, whole{Text: `, {"na`, Calls: []string{"add({})"}}},

		{"JSON", plain, "\n" + `{"name": "add", "arguments": {"a": 1}}`, whole{Calls: []string{`add({"a": 1})`}}},
		{"JSON list", plain, `[{"name": "add", "arguments": {"a": 1}}, {"name": "add"}]`, whole{Calls: []string{`add({"a": 1})`, "add({})"}}},
		{"JSON lines", plain, "{\"name\": \"add\"}\n{\"name\": \"add\"}\n", whole{Calls: []string{"add({})", "add({})"}}},
		{"JSON block", plain, "```json\n{\"name\": \"add\", \"parameters\": {}}\n```\n", whole{Calls: []string{"add({})"}}},
		{"other list", plain, `[1, 2]`, whole{Text: `[1, 2]`}},
		{"other block", plain, "```json\n[1]\n```", whole{Text: "```json\n[1]\n```"}},
		{"granite", granite, `<|tool_call|>[{"name": "add", "arguments": {"a": 1}}, {"name": "add", "arguments": {}}]`, whole{Calls: []string{`add({"a": 1})`, "add({})"}}},
		{"phi", granite, `Well.<|tool_call|>[{"name": "add", "arguments": {"a": 1}}]<|/tool_call|>`, whole{Text: "Well.", Calls: []string{`add({"a": 1})`}}},
		{"granite, then text", granite, `<|tool_call|> [{"name": "add"}] Done`, whole{Text: "Done", Calls: []string{"add({})"}}},
		{"granite, two lists", granite, `<|tool_call|>[{"name": "add"}] <|tool_call|>[{"name": "add"}]<|/tool_call|>`, whole{Calls: []string{"add({})", "add({})"}}},
		{"granite, unknown tool", granite, `<|tool_call|>[{"name": "rm"}]`, whole{Text: `<|tool_call|>[{"name": "rm"}]`}},

		{"deepseek", deepseek, `Let me see.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"location": "Zürich"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`, whole{Text: "Let me see.", Calls: []string{weather, "add({})"}}},
		{"deepseek r1", deepseek, "<think>a</think>\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": \"`\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>", whole{Reasoning: "a", Calls: []string{"add({\"a\": \"`\"})", "add({})"}}},
		{"deepseek without the mark of all", deepseek, `<｜tool▁call▁begin｜>add<｜tool▁sep｜>{"a": 1}`, whole{Calls: []string{`add({"a": 1})`}}},
		{"deepseek without the mark of an end", deepseek, `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{}<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{}<｜tool▁call▁end｜> Done`, whole{Text: "Done", Calls: []string{"add({})", "add({})"}}},
		{"deepseek, unknown tool", deepseek, `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>rm<｜tool▁sep｜>{}`, whole{Text: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>rm<｜tool▁sep｜>{}`}},
		{"deepseek, cut", deepseek, `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{"a": `, whole{Text: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{"a": `}},
		{"deepseek, half a mark", deepseek, `So <｜tool▁ca`, whole{Text: `So <｜tool▁ca`}},

		{"coder", coder, "I will.\n<tool_call>\n<function=get_weather>\n<parameter=location>\nZürich\n</parameter>\n</function>\n</tool_call>", whole{Text: "I will.", Calls: []string{weather}}},
		{"coder, values", coder, "<tool_call>\n<function=add>\n<parameter=a>\n[1, {\"b\": null}]\n</parameter>\n<parameter=b>\ntwo\n\"lines\"\t\n</parameter>\n<parameter=c>\n12\n</parameter>\n</function>\n</tool_call>", whole{Calls: []string{`add({"a": [1, {"b": null}], "b": "two\n\"lines\"\t", "c": 12})`}}},
		{"coder, a number that is text", coder, "<tool_call><function=get_weather><parameter=location>\n42\n</parameter></function></tool_call>", whole{Calls: []string{`get_weather({"location": "42"})`}}},
		{"coder, text with tags", coder, "<tool_call><function=get_weather><parameter=location>\n<b>\n</parameter\n</b>\n\n</parameter></function></tool_call>", whole{Calls: []string{`get_weather({"location": "<b>\n</parameter\n</b>\n"})`}}},
		{"coder, without arguments, two", coder, "<tool_call>\n<function=add>\n</function>\n</tool_call>\n<tool_call>\n<function=add>\n</function>\n</tool_call>\nDone", whole{Text: "Done", Calls: []string{"add({})", "add({})"}}},
		{"coder without its end, two", coder, "<tool_call>\n<function=add>\n</function>\n<tool_call>\n<function=add>\n</function>", whole{Calls: []string{"add({})", "add({})"}}},
		{"coder, a good one after a bad one", coder, "<tool_call>\n<function=add>\n<tool_call>\n<function=add>\n</function>", whole{Text: "<tool_call>\n<function=add>\n", Calls: []string{"add({})"}}},
		{"coder without the mark of calls", coder, "Hm <function=add>\n<parameter=a>\n1\n</parameter>\n</function>", whole{Text: "Hm", Calls: []string{`add({"a": 1})`}}},
		{"custom functions of Llama", coder, `<function=add>{"a": {"b": 1}}</function>`, whole{Calls: []string{`add({"a": {"b": 1}})`}}},
		{"coder, unknown tool", coder, "<tool_call>\n<function=rm>\n</function>", whole{Text: "<tool_call>\n<function=rm>\n</function>"}},
		{"coder, cut", coder, "<tool_call>\n<function=add>\n<parameter=a>\n1", whole{Text: "<tool_call>\n<function=add>\n<parameter=a>\n1"}},
		{"coder, another tag", coder, "<tool_call>\n<function=add>\n<b>", whole{Text: "<tool_call>\n<function=add>\n<b>"}},

		{"seed", seed, "<seed:tool_call>\n<function=get_weather>\n<parameter=location>Zürich</parameter>\n</function>\n</seed:tool_call>\n", whole{Calls: []string{weather}}},

		{"coder, values of Python", coder, "<tool_call><function=add><parameter=a>True</parameter><parameter=b>['x', {'y': None, \"z\": (1, 2.5)}]</parameter><parameter=c>True, but</parameter></function></tool_call>", whole{Calls: []string{`add({"a": true, "b": ["x", {"y": null, "z": [1, 2.5]}], "c": "True, but"})`}}},
		{"nemotron", answer.Nemotron, `<TOOLCALL>[{"name": "add", "arguments": {"a": 1}}]</TOOLCALL>`, whole{Calls: []string{`add({"a": 1})`}}},
		{"tool_calls", answer.ToolCalls, "<tool_calls>\n{\"name\": \"add\", \"arguments\": {}}\n</tool_calls>", whole{Calls: []string{"add({})"}}},
		{"cohere", answer.Cohere, `<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "add", "parameters": {"a": 1}}]<|END_ACTION|>`, whole{Calls: []string{`0add({"a": 1})`}}},
		{"gigachat", answer.GigaChat, `<|function_call|>{"name": "add", "arguments": {"a": 1}}`, whole{Calls: []string{`add({"a": 1})`}}},
		{"kimi", answer.Kimi, `A.<|tool_calls_section_begin|><|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>{"a": 1}<|tool_call_end|><|tool_call_begin|>functions.add:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>`, whole{Text: "A.", Calls: []string{`add({"a": 1})`, "add({})"}}},
		{"minimax", answer.MiniMax, "<minimax:tool_call>\n<invoke name=\"get_weather\">\n<parameter name=\"location\">Zürich</parameter>\n</invoke>\n</minimax:tool_call>", whole{Calls: []string{weather}}},
		{"deepseek 3.2", answer.DeepSeek32, "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"add\">\n<｜DSML｜parameter name=\"a\" string=\"true\">1</｜DSML｜parameter>\n<｜DSML｜parameter name=\"b\" string=\"false\">1</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>", whole{Calls: []string{`add({"a": "1", "b": 1})`}}},

		{"glm", glm, "\n<tool_call>get_weather\n<arg_key>location</arg_key>\n<arg_value>Zürich</arg_value>\n</tool_call>", whole{Calls: []string{weather}}},
		{"glm on one line, values", glm, `<tool_call>add<arg_key>a</arg_key><arg_value>{"x": [1]}</arg_value><arg_key>b</arg_key><arg_value>plain < text</arg_value></tool_call><tool_call>add</tool_call>`, whole{Calls: []string{`add({"a": {"x": [1]}, "b": "plain < text"})`, "add({})"}}},
		{"glm, a number that is text", glm, "<tool_call>get_weather<arg_key>location</arg_key><arg_value>42</arg_value></tool_call>", whole{Calls: []string{`get_weather({"location": "42"})`}}},
		{"glm, unknown tool", glm, "<tool_call>rm\n<arg_key>", whole{Text: "<tool_call>rm\n<arg_key>"}},

		{"other code", plain, "```python\n{}\n```", whole{Text: "```python\n{}\n```"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{1, 2, 3, 7, 1000} {
				if diff := cmp.Diff(test.want, parse(t, config(test.form), pieces(test.in, n)...)); diff != "" {
					t.Errorf("in pieces of %d: -want +got\n%s", n, diff)
				}
			}
			for at := range test.in { // in two, at each character
				if diff := cmp.Diff(test.want, parse(t, config(test.form), test.in[:at], test.in[at:])); diff != "" {
					t.Errorf("cut at %d: -want +got\n%s", at, diff)
				}
			}
		})
	}
}

func TestReasonsFromTheStart(t *testing.T) {
	t.Parallel()
	c := config(answer.Hermes)
	c.Reasons = true
	got := parse(t, c, pieces("\nHm.</think>Yes", 2)...)
	if diff := cmp.Diff(whole{Reasoning: "Hm.", Text: "Yes"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestIncremental: a call is given while it is written.
func TestIncremental(t *testing.T) {
	t.Parallel()
	p := answer.New(config(answer.Hermes))
	d := p.Add(`<tool_call>{"name": "add", "arguments": {"a": "on`)
	want := []answer.Call{{ID: "#1", Name: "add", Arguments: `{"a": "on`}}
	if diff := cmp.Diff(want, d.Calls); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]answer.Call{{Arguments: `e"`}}, p.Add(`e"`).Calls); diff != "" {
		t.Error(diff)
	}
	d = p.Flush()
	if diff := cmp.Diff([]answer.Call{{Retracted: true}}, d.Calls); diff != "" || d.Text == "" {
		t.Errorf("a call that was cut: %s, text %q", diff, d.Text)
	}
}

func TestDetect(t *testing.T) {
	t.Parallel()
	tokens := func(names ...string) func(string) bool {
		return func(name string) bool { return strings.Contains(" "+strings.Join(names, " ")+" ", " "+name+" ") }
	}
	for _, test := range []struct {
		template  string
		has       func(string) bool
		calls     answer.CallFormat
		reasoning string
	}{
		{"{% if tools %}<tool_call>{% endif %}</think>", tokens(), answer.Hermes, "think"},
		{"{% if tools %}<tool_call><function=x>{% endif %}", tokens(), answer.Qwen3Coder, ""},
		{"{{ tools }}<seed:tool_call><function=x>", tokens(), answer.Seed, ""},
		{"{{ tools }}<tool_call>x<arg_key>", tokens(), answer.GLM, ""},
		{"{{ tools }}<｜tool▁call▁begin｜>", tokens(), answer.DeepSeek, ""},
		{"{{ tools }}name arguments", tokens("<|tool_call|>"), answer.Granite, ""},
		{"{{ tools }}<|channel|>analysis<|message|><|end|>", tokens(), answer.Harmony, "harmony"},
		{"{{ tools }}<|tool_call>call:<channel|>", tokens(), answer.Gemma, "gemma"},
		{"{{ tools }}<start_function_call>", tokens(), answer.FunctionGemma, ""},
		{"{{ tools }}<|end|> name arguments", tokens(), answer.JSON, ""},
		{"{{ tools }} parameters", tokens("<|python_tag|>"), answer.Llama3, ""},
		{"{{ tools }} [TOOL_CALLS]", tokens("[THINK]", "[/THINK]"), answer.Mistral, "mistral"},
		{"{{ tools }} name arguments", tokens(), answer.JSON, ""},
		{"{{ messages }}", tokens("[TOOL_CALLS]"), answer.NoCalls, ""},
	} {
		reasoning, _ := answer.DetectReasoning(test.template, test.has)
		if calls := answer.DetectCalls(test.template, test.has); calls != test.calls || reasoning.Name != test.reasoning {
			t.Errorf("%s: %q, %q", test.template, calls, reasoning.Name)
		}
	}
}

// FuzzParser: pieces of any size give the same, every call is whole, and without calls and reasoning nothing is lost, but
// for headers of channels.
func FuzzParser(f *testing.F) {
	for _, form := range answer.CallFormats() {
		for _, s := range []string{
			"<think>a</think>b", `<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>c`, `[TOOL_CALLS]add[ARGS]{}`,
			`[TOOL_CALLS][{"name": "add"}]`, `{"name": "add", "parameters": {"x": "\u00e9"}}; {`, "```json\n[{\"name\":", `<|python_tag|>python.call(a="b")`,
			"<|tool_call|>[{\"name\": \"add\"}]<|/tool_call|>", "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n</function></tool_call>",
			"<seed:tool_call><function=add>{}</function>", "<tool_call>get_weather\n<arg_key>location</arg_key><arg_value>x</arg_value></tool_call>",
			"<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>commentary to=functions.add <|constrain|>json<|message|>{} <|call|>a",
			"<|channel|>final<|message|> a <|end|>b to=functions.add<|message|>{\"a\"<|start|>",
			"<|tool_call>call:add{a:1,b:[<|\"|>x<|\"|>,True],c:{d:\"e\"}}<tool_call|> b<start_function_call>call:add{a:<escape>x\n<escape>}",
			"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{}\n```<｜tool▁call▁end｜>",
			"<|channel|>" + strings.Repeat("x ", 400) + "<|message|>hi",
			"<|channel|>" + strings.Repeat("x", 700) + "<|end|><|start|>assistant<|channel|>final<|message|>Hi",
			" <|channel|>final<|message|>a<|end|> \n<|end|>" + strings.Repeat("<|start|>", 100) + "x",
			"<start_function_call>call:add{a:1}<start_function_call>call:add{a:2}<end_function_call>",
			"<|tool_call>call:add{a:1,}<tool_call|><|tool_call>call:add{a :2,\"x\\\":y\" :3,<|\"|>b:c<|\"|>:4}<tool_call|>",
			"<|tool_call>call:add{a:1}\n<|tool_call>call:add{a:2,<|tool_call>call:add{a:3}<tool_s",
			"<tool_call>{\"name\": \"add\"}<tool_call>\n<function=add>\n</function>\n<tool_call>\n<function=add>\n</function>",
		} {
			f.Add(string(form), s, 3)
		}
	}
	f.Fuzz(func(t *testing.T, form, s string, n int) {
		if !utf8.ValidString(s) || n < 1 || len(s) > 1<<12 {
			return
		}
		c := config(answer.CallFormat(form))
		at := parse(t, c, s)
		if diff := cmp.Diff(at, parse(t, config(answer.CallFormat(form)), pieces(s, n)...)); diff != "" {
			t.Errorf("%q in pieces of %d: -at once +in pieces\n%s", s, n, diff)
		}
		if len(at.Calls) == 0 && !strings.Contains(s, "<think>") && at.Text != s && answer.CallFormat(form) != answer.Harmony {
			t.Errorf("%q became %q", s, at.Text)
		}
	})
}

// TestBlanksBehindArguments: blanks and back-ticks before the mark that ends a call are not kept: reading them takes memory
// by their number, not by its square. Nothing else may run meanwhile.
func TestBlanksBehindArguments(t *testing.T) {
	const blanks = 20_000
	text := "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{}" + strings.Repeat("\n `", blanks/3) + "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := parse(t, config(answer.DeepSeek), text)
	runtime.ReadMemStats(&after)
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 100*blanks {
		t.Errorf("%d bytes for %d blanks", bytes, blanks)
	}
	if diff := cmp.Diff(whole{Calls: []string{"add({})"}}, got); diff != "" {
		t.Error(diff)
	}
}

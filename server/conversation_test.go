package server_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// toolTemplate writes what a conversation has beside its texts.
const toolTemplate = `{% if tools %}{{ tools | tojson }}{{ '\n' }}{% endif %}
{% for m in messages %}<|im_start|>{{ m.role }}{% if m.name %} {{ m.name }}{% endif %}{{ '\n' }}
{%- if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}
{%- if m.content %}{{ m.content }}{% endif %}
{%- for c in m.tool_calls %}{{ c | tojson }}{% endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant{{ '\n' }}{% if opens %}<think>{{ '\n' }}{% endif %}{% endif %}`

// talker is a model that answers every conversation with a text.
func talker(t *testing.T, text string) *inference.Model {
	t.Helper()
	return servertest.Toy{
		Template: toolTemplate, Templates: map[string]string{"other": "{{ messages[0].content }}!"},
		Calls: answer.Hermes, Reasoning: answer.Reasonings()[0],
		Session: inferencetest.ToyConfig{
			Limits: runner.Limits{Slots: 4, MaxLength: 2048, MaxChunk: 64},
			Script: servertest.Says("assistant\n", text),
		},
	}.Model(t)
}

// withTools is a conversation about the weather.
func withTools() *sluicev1.GenerateRequest {
	in := chatOf("Weather in Zürich?")
	in.GetChat().Tools = []*sluicev1.Tool{{
		Name: "get_weather", Description: "The weather.", Parameters: `{"type": "object", "properties": {"location": {"type": "string"}}}`,
	}}
	in.Sampling = &sluicev1.Sampling{MaxTokens: proto.Uint32(500), Temperature: new(float32)}
	return in
}

// wholeOf runs a request in both ways, and the stream's deltas must join to the whole answer.
func wholeOf(t *testing.T, client sluicev1.InferenceServiceClient, in *sluicev1.GenerateRequest) (*sluicev1.Output, *sluicev1.Usage) {
	t.Helper()
	whole, err := client.Generate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := stream(t.Context(), t, client, in)
	if err != nil {
		t.Fatal(err)
	}
	joined := &sluicev1.Output{}
	for _, delta := range got.all {
		joined.Text += delta.GetText()
		joined.Reasoning += delta.GetReasoning()
		for _, call := range delta.GetToolCalls() {
			switch i := int(call.GetIndex()); {
			case call.GetRetracted():
				joined.ToolCalls = joined.GetToolCalls()[:i]
			case i == len(joined.GetToolCalls()):
				joined.ToolCalls = append(joined.ToolCalls, &sluicev1.ToolCall{Id: call.GetId(), Name: call.GetName(), Arguments: call.GetArguments()})
			default:
				joined.ToolCalls[i].Arguments += call.GetArguments()
			}
		}
	}
	output := whole.GetOutputs()[0]
	want := &sluicev1.Output{Text: output.GetText(), Reasoning: output.GetReasoning(), ToolCalls: output.GetToolCalls()}
	if diff := cmp.Diff(want, joined, protocmp.Transform(), protocmp.IgnoreFields(&sluicev1.ToolCall{}, "id")); diff != "" {
		t.Errorf("-whole +streamed\n%s", diff)
	}
	return output, whole.GetUsage()
}

const weatherCall = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"location\": \"Zürich\"}}\n</tool_call>"

// TestToolCalls: a model's calls come apart from its text and its reasoning, unless they are wanted raw.
func TestToolCalls(t *testing.T) {
	t.Parallel()
	const said = "<think>\nHm.\n</think>\n\nI look. " + weatherCall
	i := servertest.Start(t, []*inference.Model{talker(t, said)})
	client := generator(i)

	got, _ := wholeOf(t, client, withTools())
	if len(got.GetToolCalls()) != 1 || !strings.HasPrefix(got.GetToolCalls()[0].GetId(), "call_") {
		t.Fatalf("calls %v", got.GetToolCalls())
	}
	want := &sluicev1.Output{
		Text: "I look.", Reasoning: "Hm.", FinishReason: sluicev1.FinishReason_FINISH_REASON_TOOL_CALL,
		ToolCalls: []*sluicev1.ToolCall{{Id: got.GetToolCalls()[0].GetId(), Name: "get_weather", Arguments: `{"location": "Zürich"}`}},
	}
	ignored := protocmp.IgnoreFields(&sluicev1.Output{}, "seed")
	if diff := cmp.Diff(want, got, protocmp.Transform(), ignored); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}

	raw := withTools()
	raw.Output = &sluicev1.OutputOptions{RawText: true}
	got, _ = wholeOf(t, client, raw)
	want = &sluicev1.Output{Text: said, FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP}
	if diff := cmp.Diff(want, got, protocmp.Transform(), ignored); diff != "" {
		t.Errorf("raw: -want +got\n%s", diff)
	}

	none := withTools()
	none.GetChat().ToolChoice = &sluicev1.ToolChoice{Choice: &sluicev1.ToolChoice_Mode{Mode: sluicev1.ToolChoiceMode_TOOL_CHOICE_MODE_NONE}}
	got, _ = wholeOf(t, client, none)
	if got.GetText() != "I look. "+weatherCall || got.GetToolCalls() != nil || got.GetReasoning() != "Hm." {
		t.Errorf("without a choice: %v", got)
	}

	short := withTools()
	short.Sampling.MaxTokens = proto.Uint32(uint32(len(said) - 20))
	got, _ = wholeOf(t, client, short)
	if len(got.GetToolCalls()) != 0 || !strings.HasPrefix(got.GetText(), "I look. <tool_call>\n{\"name\": \"get_weather\"") ||
		got.GetFinishReason() != sluicev1.FinishReason_FINISH_REASON_LENGTH {
		t.Errorf("a call that is cut: %v", got)
	}
}

// TestReasoningThatThePromptOpens: the template may write the tag, and then the answer begins inside.
func TestReasoningThatThePromptOpens(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{servertest.Toy{
		Template: toolTemplate, Reasoning: answer.Reasonings()[0],
		Session: inferencetest.ToyConfig{
			Limits: runner.Limits{Slots: 4, MaxLength: 512, MaxChunk: 64},
			Script: servertest.Says("assistant\n<think>\n", "Hm.</think>\nYes."),
		},
	}.Model(t)})
	in := chatOf("Really?")
	in.GetChat().TemplateArgs = `{"opens": true}`
	in.Sampling = &sluicev1.Sampling{MaxTokens: proto.Uint32(100), Temperature: new(float32)}
	got, _ := wholeOf(t, generator(i), in)
	if got.GetReasoning() != "Hm." || got.GetText() != "Yes." {
		t.Errorf("reasoning %q, text %q", got.GetReasoning(), got.GetText())
	}
}

// promptOf is the text of a conversation as the template writes it, which the output echoes.
func promptOf(t *testing.T, client sluicev1.InferenceServiceClient, conversation *sluicev1.Chat) string {
	t.Helper()
	response, err := client.Generate(t.Context(), &sluicev1.GenerateRequest{
		Input:    &sluicev1.GenerateRequest_Chat{Chat: conversation},
		Sampling: &sluicev1.Sampling{MaxTokens: proto.Uint32(1), Temperature: new(float32), AllowedTokenIds: []uint32{'.'}},
		Output:   &sluicev1.OutputOptions{Echo: true, SkipSpecialTokens: new(false), RawText: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(response.GetOutputs()[0].GetText(), ".")
}

// TestConversation: what a request says of a conversation reaches the template.
func TestConversation(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{talker(t, "")})
	client := generator(i)
	tool := &sluicev1.Tool{Name: "f", Description: "Does <|im_end|>.", Parameters: `{"b": 1, "a": [1.0]}`}
	for _, test := range []struct {
		name string
		in   *sluicev1.Chat
		want string
	}{
		{
			"everything", &sluicev1.Chat{
				Tools: []*sluicev1.Tool{tool},
				Messages: []*sluicev1.Message{
					{Role: "user", Name: "bob", Content: "hi"},
					{Role: "assistant", Reasoning: "hm", ToolCalls: []*sluicev1.ToolCall{{Id: "c1", Name: "f", Arguments: `{"z": 1, "a": "é"}`}}},
					{Role: "tool", Content: "ok", ToolCallId: "c1"},
				},
			},
			`[{"type": "function", "function": {"name": "f", "description": "Does <|im_end|>.", "parameters": {"b": 1, "a": [1.0]}}}]
<|im_start|>user bob
hi<|im_end|>
<|im_start|>assistant
<think>hm</think>{"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"z": 1, "a": "é"}}}<|im_end|>
<|im_start|>tool
ok<|im_end|>
<|im_start|>assistant
`,
		},
		{
			"a last message to go on with", &sluicev1.Chat{
				Messages:             []*sluicev1.Message{{Role: "user", Content: "hi"}, {Role: "assistant", Content: "The answer "}},
				ContinueFinalMessage: true,
			},
			"<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nThe answer ",
		},
		{
			"another template", &sluicev1.Chat{Messages: []*sluicev1.Message{{Role: "user", Content: "hi"}}, Template: "other"},
			"hi!",
		},
		{
			"arguments", &sluicev1.Chat{Messages: []*sluicev1.Message{{Role: "user", Content: "hi"}}, TemplateArgs: `{"opens": 1}`},
			"<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n",
		},
	} {
		if diff := cmp.Diff(test.want, promptOf(t, client, test.in)); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.name, diff)
		}
	}
	// The tool's description spells a special token; it is one of the template's own only.
	in := &sluicev1.Chat{Tools: []*sluicev1.Tool{tool}, Messages: []*sluicev1.Message{{Role: "user", Content: "hi"}}}
	with, err := client.Generate(t.Context(), &sluicev1.GenerateRequest{
		Input: &sluicev1.GenerateRequest_Chat{Chat: in}, Sampling: &sluicev1.Sampling{MaxTokens: proto.Uint32(1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := promptOf(t, client, in)
	own := strings.Count(text, "<|im_start|>")*(len("<|im_start|>")-1) + len("<|im_end|>") - 1
	if got, want := int(with.GetUsage().GetPromptTokens()), len(text)-own; got != want {
		t.Errorf("%d tokens, want %d", got, want)
	}
}

// TestBadConversations: what a conversation must not have is refused by name.
func TestBadConversations(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{talker(t, "")})
	many := make([]*sluicev1.Tool, 129)
	for n := range many {
		many[n] = &sluicev1.Tool{Name: fmt.Sprintf("f%d", n)}
	}
	call := func(c *sluicev1.ToolCall) *sluicev1.Chat {
		return &sluicev1.Chat{Messages: []*sluicev1.Message{{Role: "assistant", ToolCalls: []*sluicev1.ToolCall{c}}}}
	}
	hi := []*sluicev1.Message{{Role: "user", Content: "hi"}}
	named := &sluicev1.ToolChoice{Choice: &sluicev1.ToolChoice_Name{Name: "g"}}
	required := &sluicev1.ToolChoice{Choice: &sluicev1.ToolChoice_Mode{Mode: sluicev1.ToolChoiceMode_TOOL_CHOICE_MODE_REQUIRED}}
	for _, test := range []struct {
		field string
		in    *sluicev1.Chat
	}{
		{"chat.tools", &sluicev1.Chat{Messages: hi, Tools: many}},
		{"chat.tools", &sluicev1.Chat{Messages: hi, Template: "other", Tools: many[:1]}},
		{"chat.tools[0].name", &sluicev1.Chat{Messages: hi, Tools: []*sluicev1.Tool{{Name: "a b"}}}},
		{"chat.tools[1].name", &sluicev1.Chat{Messages: hi, Tools: []*sluicev1.Tool{{Name: "f"}, {Name: "f"}}}},
		{"chat.tools[0].parameters", &sluicev1.Chat{Messages: hi, Tools: []*sluicev1.Tool{{Name: "f", Parameters: "[]"}}}},
		{"chat.tools[0].parameters", &sluicev1.Chat{Messages: hi, Tools: []*sluicev1.Tool{{Name: "f", Parameters: "{"}}}},
		{"chat.tool_choice.name", &sluicev1.Chat{Messages: hi, Tools: many[:1], ToolChoice: named}},
		{"chat.tool_choice.mode", &sluicev1.Chat{Messages: hi, ToolChoice: required}},
		{"chat.messages[0].tool_calls[0].name", call(&sluicev1.ToolCall{Arguments: "{}"})},
		{"chat.messages[0].tool_calls[0].arguments", call(&sluicev1.ToolCall{Name: "f", Arguments: "1"})},
		{"chat.messages[0].tool_calls[0].arguments", call(&sluicev1.ToolCall{Name: "f", Arguments: strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)})},
		{"chat.tools", &sluicev1.Chat{Messages: hi, ToolChoice: required, Tools: []*sluicev1.Tool{{Name: "f", Parameters: `{"$ref": "#/none"}`}}}},
		{"chat.template", &sluicev1.Chat{Messages: hi, Template: "none such"}},
		{"chat.template_args", &sluicev1.Chat{Messages: hi, TemplateArgs: `{"messages": []}`}},
		{"chat.template_args", &sluicev1.Chat{Messages: hi, TemplateArgs: `[]`}},
		{"chat.continue_final_message", &sluicev1.Chat{Messages: hi, ContinueFinalMessage: true, AddGenerationPrompt: new(true)}},
		{"chat.continue_final_message", &sluicev1.Chat{Messages: append(hi, hi...), Template: "other", ContinueFinalMessage: true, TemplateArgs: `{"x": "hi"}`}},
	} {
		_, err := generator(i).Generate(t.Context(), &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Chat{Chat: test.in}})
		if got := violations(t, wantStatus(t, err, codes.InvalidArgument)); got != test.field {
			t.Errorf("violations of %q, want %q: %v", got, test.field, err)
		}
	}
}

// TestMaxThinkingTokens: a reasoning whose budget is spent ends, and the answer follows; both are counted.
func TestMaxThinkingTokens(t *testing.T) {
	t.Parallel()
	const thought = "Let me see, é"
	script := func(history []uint32) (uint32, bool) {
		said := string(bytesOf(history))
		_, said, _ = strings.Cut(said, "assistant\n")
		if _, answered, ok := strings.Cut(said, "</think>"); ok {
			if answered == "Yes." {
				return servertest.TurnEnd, true
			}
			return uint32("Yes."[len(answered)]), true
		}
		const all = "<think>" + thought + thought
		return uint32(all[len(said)%len(all)]), true
	}
	i := servertest.Start(t, []*inference.Model{servertest.Toy{
		Template: toolTemplate, Reasoning: answer.Reasonings()[0],
		Session: inferencetest.ToyConfig{Limits: runner.Limits{Slots: 4, MaxLength: 512, MaxChunk: 64}, Script: script},
	}.Model(t)})
	client := generator(i)
	for _, test := range []struct {
		budget, counted uint32
		reasoning       string
	}{
		{0, 0, ""},
		{6, 6, "Let me"},
		{uint32(len(thought)) - 1, uint32(len(thought)), thought}, // not within a character
	} {
		in := chatOf("Really?")
		in.Sampling = &sluicev1.Sampling{MaxTokens: proto.Uint32(200), Temperature: new(float32), MaxThinkingTokens: &test.budget}
		got, usage := wholeOf(t, client, in)
		if got.GetReasoning() != test.reasoning || got.GetText() != "Yes." || usage.GetReasoningTokens() != test.counted {
			t.Errorf("with %d: reasoning %q of %d tokens, text %q", test.budget, got.GetReasoning(), usage.GetReasoningTokens(), got.GetText())
		}
	}
	in := greedy("x", 1)
	in.Sampling.MaxThinkingTokens = proto.Uint32(1)
	_, err := client.Generate(t.Context(), in)
	if got := violations(t, wantStatus(t, err, codes.InvalidArgument)); got != "sampling.max_thinking_tokens" {
		t.Errorf("violations of %q", got)
	}
}

// TestMaxThinkingTokensOfMessages: where a model may reason in several messages, the budget is of all of them.
func TestMaxThinkingTokensOfMessages(t *testing.T) {
	t.Parallel()
	messages := []string{
		"<|channel|>analysis<|message|>Let me see.<|end|>",
		"<|start|>assistant<|channel|>commentary<|message|>I look.<|end|>",
		"<|start|>assistant<|channel|>analysis<|message|>So it is.<|end|>",
		"<|start|>assistant<|channel|>final<|message|>Yes.",
	}
	script := func(history []uint32) (uint32, bool) {
		_, said, _ := strings.Cut(string(bytesOf(history)), "assistant\n")
		parts := strings.Split(said, "<|end|>")
		n := len(parts) - 1
		if parts[n] == messages[n] {
			return servertest.TurnEnd, true
		}
		return uint32(messages[n][len(parts[n])]), true
	}
	forms := answer.Reasonings()
	at := slices.IndexFunc(forms, func(form answer.Reasoning) bool { return form.Name == "harmony" })
	i := servertest.Start(t, []*inference.Model{servertest.Toy{
		Template: toolTemplate, Reasoning: forms[at],
		Session: inferencetest.ToyConfig{Limits: runner.Limits{Slots: 4, MaxLength: 512, MaxChunk: 64}, Script: script},
	}.Model(t)})
	const first = uint32(len("Let me see.<|end|")) // a token is a byte, and an end of more of them counts up to its last
	for _, test := range []struct {
		budget, counted uint32
		reasoning       string
	}{
		{0, 0, ""},
		{6, 6, "Let me"},
		{first + 5, first + 5, "Let me see.\n\nSo it"},
		{100, first + uint32(len("So it is.<|end|")), "Let me see.\n\nSo it is."},
	} {
		in := chatOf("Really?")
		in.Sampling = &sluicev1.Sampling{MaxTokens: proto.Uint32(300), Temperature: new(float32), MaxThinkingTokens: &test.budget}
		got, usage := wholeOf(t, generator(i), in)
		if got.GetReasoning() != test.reasoning || got.GetText() != "I look.\n\nYes." || usage.GetReasoningTokens() != test.counted {
			t.Errorf("with %d: reasoning %q of %d tokens, text %q", test.budget, got.GetReasoning(), usage.GetReasoningTokens(), got.GetText())
		}
	}
}

// bytesOf are the bytes that a toy's tokens stand for, without the special ones.
func bytesOf(ids []uint32) []byte {
	var b []byte
	for _, id := range ids {
		if id < servertest.EndOfText {
			b = append(b, byte(id))
		}
	}
	return b
}

// TestRequiredCalls: a model that says nonsense calls a tool all the same, in each form, and what the schema asks holds.
func TestRequiredCalls(t *testing.T) {
	t.Parallel()
	tools := []*sluicev1.Tool{
		{Name: "paint", Parameters: `{"type": "object", "properties": {"colour": {"$ref": "#/$defs/c"}, "finish": {"enum": ["matt", "gloss"]}, "coats": {"type": "integer", "minimum": 1, "maximum": 3}}, "required": ["colour", "finish"], "additionalProperties": false, "$defs": {"c": {"enum": ["red", "green"]}}}`},
		{Name: "wait", Parameters: `{"type": "object", "properties": {"seconds": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["seconds"], "additionalProperties": false}`},
	}
	called := map[string]bool{}
	for _, form := range answer.CallFormats() {
		i := servertest.Start(t, []*inference.Model{servertest.Toy{
			Template: toolTemplate, Calls: form,
			Session: inferencetest.ToyConfig{Limits: runner.Limits{Slots: 4, MaxLength: 2048, MaxChunk: 64}},
		}.Model(t)})
		for seed := range uint64(6) {
			in := chatOf("Do something.")
			in.GetChat().Tools = tools
			in.GetChat().ToolChoice = &sluicev1.ToolChoice{Choice: &sluicev1.ToolChoice_Mode{Mode: sluicev1.ToolChoiceMode_TOOL_CHOICE_MODE_REQUIRED}}
			if seed%2 == 1 {
				in.GetChat().ToolChoice = &sluicev1.ToolChoice{Choice: &sluicev1.ToolChoice_Name{Name: "paint"}}
			}
			in.Sampling = &sluicev1.Sampling{MaxTokens: proto.Uint32(1000), Seed: &seed}
			got, _ := wholeOf(t, generator(i), in)
			if len(got.GetToolCalls()) != 1 || got.GetText() != "" || got.GetFinishReason() != sluicev1.FinishReason_FINISH_REASON_TOOL_CALL {
				t.Errorf("%s: %v", form, got)
				continue
			}
			call := got.GetToolCalls()[0]
			called[call.GetName()] = true
			var arguments struct {
				Colour, Finish string
				Coats          *int
				Seconds        *int
			}
			if err := json.Unmarshal([]byte(call.GetArguments()), &arguments); err != nil {
				t.Errorf("%s: %v", form, err)
			}
			switch name := call.GetName(); {
			case name == "paint" && (arguments.Colour == "red" || arguments.Colour == "green") &&
				(arguments.Finish == "matt" || arguments.Finish == "gloss") && (arguments.Coats == nil || *arguments.Coats <= 3):
			case name == "wait" && seed%2 == 0 && arguments.Seconds != nil && *arguments.Seconds <= 9:
			default:
				t.Errorf("%s: %v", form, call)
			}
		}
	}
	if !called["paint"] || !called["wait"] {
		t.Errorf("only %v were called", called)
	}
}

// TestRequiredCallAfterReasoning: where the template has opened the reasoning, the call comes behind it.
func TestRequiredCallAfterReasoning(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{servertest.Toy{
		Template: toolTemplate, Calls: answer.Hermes, Reasoning: answer.Reasonings()[0],
		Session: inferencetest.ToyConfig{
			Limits: runner.Limits{Slots: 4, MaxLength: 1024, MaxChunk: 64},
			Script: servertest.Says("assistant\n<think>\n", "Hm.</think>"),
		},
	}.Model(t)})
	in := withTools()
	in.GetChat().TemplateArgs = `{"opens": true}`
	in.GetChat().ToolChoice = &sluicev1.ToolChoice{Choice: &sluicev1.ToolChoice_Name{Name: "get_weather"}}
	in.GetChat().Tools[0].Parameters = `{"type": "object", "additionalProperties": false}`
	got, usage := wholeOf(t, generator(i), in)
	if got.GetReasoning() != "Hm." || len(got.GetToolCalls()) != 1 || got.GetText() != "" || usage.GetReasoningTokens() == 0 {
		t.Errorf("got %v, %v", got, usage)
	}
}

package server_test

import (
	"fmt"
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

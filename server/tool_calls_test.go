package server_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

const weatherCall = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"location\": \"Zürich\"}}\n</tool_call>"

// withTools is a conversation about the weather.
func withTools() *sluicev1.GenerateRequest {
	in := chatOf("Weather in Zürich?")
	in.GetChat().Tools = []*sluicev1.Tool{{
		Name: "get_weather", Description: "The weather.", Parameters: `{"type": "object", "properties": {"location": {"type": "string"}}}`,
	}}
	in.Sampling = &sluicev1.Sampling{MaxTokens: proto.Uint32(500), Temperature: new(float32)}
	return in
}

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

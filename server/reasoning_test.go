package server_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

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

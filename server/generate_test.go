package server_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// The whole answer, field by field.
func TestGenerate(t *testing.T) {
	t.Parallel()
	const text = "Zürich 🚀 時"
	i := start(t, servertest.Toy{Session: speak(1+len("hi"), text)})
	in := greedy("hi", 100)
	in.Model, in.RequestId = "default", "mine"
	in.Output = &sluicev1.OutputOptions{TokenIds: true}
	in.Sampling.Seed = proto.Uint64(7)
	got, err := generator(i).Generate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]uint32, 0, len(text)+1)
	for b := range len(text) {
		ids = append(ids, uint32(text[b]))
	}
	ids = append(ids, servertest.TurnEnd)
	want := &sluicev1.GenerateResponse{
		Id: "mine", Model: "toy",
		Outputs: []*sluicev1.Output{{
			Text: text, TokenIds: ids, FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP, Seed: 7,
		}},
		Usage: &sluicev1.Usage{PromptTokens: 3, CompletionTokens: uint32(len(ids))},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(want, "timings")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if took := got.GetTimings().GetTimeToFirstToken().AsDuration(); took <= 0 {
		t.Errorf("time to first token %v", took)
	}
}

// A stream tells the same as the whole answer, never splits a character, and leaves out deltas that say nothing.
func TestStreamEqualsUnary(t *testing.T) {
	t.Parallel()
	const text = "naïve 🤷🏽‍♀️ 中文 done"
	for _, ids := range []bool{false, true} {
		t.Run(fmt.Sprintf("ids=%t", ids), func(t *testing.T) {
			t.Parallel()
			i := start(t, servertest.Toy{Session: speak(1+len("hi"), text)})
			in := greedy("hi", 200)
			in.Sampling.Seed = proto.Uint64(1)
			in.RequestId = "same"
			in.Output = &sluicev1.OutputOptions{TokenIds: ids}
			whole, err := generator(i).Generate(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			got := mustStream(t, generator(i), in)
			output := whole.GetOutputs()[0]
			if got.text != text || output.GetText() != text {
				t.Errorf("streamed %q, unary %q, want %q", got.text, output.GetText(), text)
			}
			if diff := cmp.Diff(output.GetTokenIds(), got.ids); diff != "" {
				t.Errorf("ids (-unary +stream):\n%s", diff)
			}
			for _, delta := range got.deltas {
				if !utf8.ValidString(delta) || strings.ContainsRune(delta, utf8.RuneError) {
					t.Errorf("delta %q splits a character", delta)
				}
				if delta == "" && !ids {
					t.Error("a delta without text")
				}
			}
			if diff := cmp.Diff(&sluicev1.Started{Id: "same", Model: "toy"}, got.started, protocmp.Transform()); diff != "" {
				t.Errorf("started (-want +got):\n%s", diff)
			}
			if got.finished.GetFinishReason() != output.GetFinishReason() || got.finished.GetSeed() != output.GetSeed() {
				t.Errorf("finished %v, unary %v", got.finished, output)
			}
			if diff := cmp.Diff(whole.GetUsage(), got.summary.GetUsage(), protocmp.Transform()); diff != "" {
				t.Errorf("usage (-unary +stream):\n%s", diff)
			}
		})
	}
}

// Every way to end, and what the request's own options change.
func TestFinish(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{Session: speak(1+len("hi"), "one two three")})
	for _, test := range []struct {
		name   string
		change func(*sluicev1.GenerateRequest)
		want   *sluicev1.Output
	}{
		{"the model's end", func(*sluicev1.GenerateRequest) {}, &sluicev1.Output{
			Text: "one two three", FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP,
		}},
		{"max_tokens", func(in *sluicev1.GenerateRequest) { in.Sampling.MaxTokens = proto.Uint32(5) }, &sluicev1.Output{
			Text: "one t", FinishReason: sluicev1.FinishReason_FINISH_REASON_LENGTH,
		}},
		{"stop string", func(in *sluicev1.GenerateRequest) {
			in.Stop = &sluicev1.Stop{Strings: []string{"never", " tw"}}
		}, &sluicev1.Output{
			Text: "one", FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP_SEQUENCE, StopSequence: " tw",
		}},
		{"stop string kept", func(in *sluicev1.GenerateRequest) {
			in.Stop = &sluicev1.Stop{Strings: []string{" tw"}, IncludeInOutput: true}
		}, &sluicev1.Output{
			Text: "one tw", FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP_SEQUENCE, StopSequence: " tw",
		}},
		{"stop id", func(in *sluicev1.GenerateRequest) {
			in.Stop = &sluicev1.Stop{TokenIds: []uint32{'w'}}
		}, &sluicev1.Output{
			Text: "one t", FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP_SEQUENCE, StopSequence: "w",
		}},
		{"ignore_eos", func(in *sluicev1.GenerateRequest) {
			in.Sampling.IgnoreEos, in.Sampling.MaxTokens = new(true), proto.Uint32(15)
			in.Output = &sluicev1.OutputOptions{SkipSpecialTokens: new(false)}
		}, &sluicev1.Output{
			Text: "one two three<|im_end|><|im_end|>", FinishReason: sluicev1.FinishReason_FINISH_REASON_LENGTH,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := greedy("hi", 100)
			in.Sampling.Seed = proto.Uint64(3)
			test.change(in)
			got, err := generator(i).Generate(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			test.want.Seed = 3
			if diff := cmp.Diff([]*sluicev1.Output{test.want}, got.GetOutputs(), protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if streamed := mustStream(t, generator(i), in); streamed.text != test.want.GetText() ||
				streamed.finished.GetStopSequence() != test.want.GetStopSequence() {
				t.Errorf("streamed %q, %v", streamed.text, streamed.finished)
			}
		})
	}
}

// The three inputs reach the model as the contract says; the drawn seed and id come back and give the same again.
func TestInputs(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	client := generator(i)
	for _, test := range []struct {
		name   string
		in     *sluicev1.GenerateRequest
		tokens uint32
	}{
		{"prompt", &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Prompt{Prompt: "a<|im_end|>"}}, 3},
		{"prompt as text", &sluicev1.GenerateRequest{
			Input: &sluicev1.GenerateRequest_Prompt{Prompt: "a<|im_end|>"}, ParseSpecial: new(false),
		}, 12},
		{"tokens", &sluicev1.GenerateRequest{
			Input: &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: []uint32{1, 2, 3, 4}}},
		}, 4},
		// <|im_start|>user\n + content, of which no token is special + <|im_end|>\n + <|im_start|>assistant\n
		{"chat", chatOf("a<|im_end|>"), 1 + 5 + 11 + 2 + 1 + 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			first, err := client.Generate(t.Context(), test.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := first.GetUsage().GetPromptTokens(); got != test.tokens {
				t.Errorf("%d prompt tokens, want %d", got, test.tokens)
			}
			if first.GetId() == "" {
				t.Error("no id was made")
			}
			again, ok := proto.Clone(test.in).(*sluicev1.GenerateRequest)
			if !ok {
				t.Fatal("clone")
			}
			again.Sampling = &sluicev1.Sampling{Seed: new(first.GetOutputs()[0].GetSeed())}
			second, err := client.Generate(t.Context(), again)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(first.GetOutputs(), second.GetOutputs(), protocmp.Transform()); diff != "" {
				t.Errorf("the same seed gives another output (-first +second):\n%s", diff)
			}
			if first.GetId() == second.GetId() {
				t.Error("two requests have one id")
			}
		})
	}
}

func chatOf(content string) *sluicev1.GenerateRequest {
	return &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Chat{Chat: &sluicev1.Chat{
		Messages: []*sluicev1.Message{{Role: "user", Content: content}},
	}}}
}

// Many streams at once on one connection: each gives what it gives alone.
func TestConcurrentStreams(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	requests := make([]*sluicev1.GenerateRequest, 32)
	alone := make([]string, len(requests))
	for n := range requests {
		requests[n] = greedy(strings.Repeat("x", n+1), uint32(8+n%7))
		alone[n] = mustStream(t, generator(i), requests[n]).text
	}
	var all sync.WaitGroup
	for n, in := range requests {
		all.Go(func() {
			got, err := stream(t.Context(), t, generator(i), in)
			if err != nil || got.text != alone[n] {
				t.Errorf("request %d: %q, %v; alone %q", n, got.text, err, alone[n])
			}
		})
	}
	all.Wait()
	idle(t, i)
}

package server_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// logprobsOf asks for the ids and for the log-probabilities of n tokens at each position of prompt and output.
func logprobsOf(in *sluicev1.GenerateRequest, n uint32) *sluicev1.GenerateRequest {
	in.Output = &sluicev1.OutputOptions{TokenIds: true, Logprobs: new(n), PromptLogprobs: new(n)}
	return in
}

// Log-probabilities: one entry for each token, streamed as whole; the values are a distribution's; the chosen token of a
// greedy output is the first of the most likely ones; and asking changes nothing else.
func TestLogprobs(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	client := generator(i)
	plain := mustStream(t, client, greedy("the prompt", 20))
	in := logprobsOf(greedy("the prompt", 20), 4)
	whole, err := client.Generate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	output := whole.GetOutputs()[0]
	if output.GetText() != plain.text {
		t.Errorf("text %q, without log-probabilities %q", output.GetText(), plain.text)
	}
	got := mustStream(t, client, in)
	if diff := cmp.Diff(output.GetLogprobs(), got.logprobs, protocmp.Transform()); diff != "" {
		t.Errorf("output (-unary +stream):\n%s", diff)
	}
	if diff := cmp.Diff(whole.GetPromptLogprobs(), got.prompt, protocmp.Transform()); diff != "" {
		t.Errorf("prompt (-unary +stream):\n%s", diff)
	}
	if len(got.logprobs) != len(got.ids) || len(got.prompt) != 1+len("the prompt") {
		t.Fatalf("%d and %d entries", len(got.prompt), len(got.logprobs))
	}
	for k, position := range got.logprobs {
		chosen := position.GetChosen()
		if chosen.GetTokenId() != got.ids[k] || len(position.GetTop()) != 4 || chosen.GetRank() != 1 {
			t.Errorf("token %d: %v", k, position)
		}
		if diff := cmp.Diff(chosen, position.GetTop()[0], protocmp.Transform()); diff != "" {
			t.Errorf("token %d: chosen and best differ:\n%s", k, diff)
		}
	}
	first := &sluicev1.TokenLogprobs{Chosen: &sluicev1.TokenLogprob{TokenId: servertest.EndOfText, Token: []byte("<|endoftext|>")}}
	if diff := cmp.Diff(first, got.prompt[0], protocmp.Transform()); diff != "" {
		t.Errorf("the first token (-want +got):\n%s", diff)
	}
	for k, position := range got.prompt[1:] {
		chosen := position.GetChosen()
		if string(chosen.GetToken()) != "the prompt"[k:k+1] || chosen.GetRank() < 1 || chosen.GetLogprob() >= 0 {
			t.Errorf("token %d of the prompt: %v", k+1, chosen)
		}
		for n, token := range position.GetTop() {
			if n > 0 && token.GetLogprob() > position.GetTop()[n-1].GetLogprob() {
				t.Errorf("token %d of the prompt: the most likely ones are out of order", k+1)
			}
		}
	}
}

// All 20 most likely tokens of the toy's vocabulary of 259 do not sum to more than 1, with sampling parameters that
// change everything else: they are the model's own.
func TestLogprobsAreTheModels(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	in := logprobsOf(greedy("hi", 1), 20)
	want := mustStream(t, generator(i), in)
	in.Sampling.Temperature, in.Sampling.Seed = proto.Float32(2), proto.Uint64(5)
	in.Sampling.LogitBias = map[uint32]float32{'z': 100}
	got := mustStream(t, generator(i), in)
	if got.ids[0] != 'z' || got.logprobs[0].GetChosen().GetTokenId() != 'z' {
		t.Errorf("tokens %v", got.ids)
	}
	if diff := cmp.Diff(want.logprobs[0].GetTop(), got.logprobs[0].GetTop(), protocmp.Transform()); diff != "" {
		t.Errorf("(-greedy +sampled):\n%s", diff)
	}
	sum := 0.0
	for _, token := range got.logprobs[0].GetTop() {
		sum += math.Exp(float64(token.GetLogprob()))
	}
	if sum <= 0 || sum > 1+1e-6 {
		t.Errorf("the probabilities sum to %v", sum)
	}
}

// A long prompt's log-probabilities come in several events.
func TestLongPromptLogprobs(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{Session: inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: 2, MaxLength: 3000, MaxChunk: 64},
	}})
	got := mustStream(t, generator(i), logprobsOf(greedy(strings.Repeat("long ", 500), 2), 1))
	if len(got.prompt) != 2501 || len(got.logprobs) != 2 {
		t.Errorf("%d and %d entries", len(got.prompt), len(got.logprobs))
	}
}

// Echo puts the prompt before the text, once, and counts nowhere else.
func TestEcho(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{Session: speak(1+len("hé STOP"), " there STOP")})
	client := generator(i)
	in := greedy("hé STOP", 100)
	in.Stop = &sluicev1.Stop{Strings: []string{"STOP"}}
	in.Output = &sluicev1.OutputOptions{Echo: true, TokenIds: true}
	got := mustStream(t, client, in)
	if got.text != "hé STOP there " || got.finished.GetStopSequence() != "STOP" || len(got.ids) != len(" there STOP") {
		t.Errorf("got %+v", got)
	}
	whole, err := client.Generate(t.Context(), in)
	if err != nil || whole.GetOutputs()[0].GetText() != got.text {
		t.Errorf("unary %v, %v", whole, err)
	}
	in.Output.SkipSpecialTokens = new(false)
	if got := mustStream(t, client, in); got.text != "<|endoftext|>hé STOP there " {
		t.Errorf("with special tokens %q", got.text)
	}
	chat := chatOf("hello")
	chat.Output = &sluicev1.OutputOptions{Echo: true}
	chat.Sampling = &sluicev1.Sampling{MaxTokens: proto.Uint32(1), AllowedTokenIds: []uint32{'x'}}
	if got := mustStream(t, client, chat); got.text != "user\nhello\nassistant\nx" {
		t.Errorf("chat %q", got.text)
	}
}

// A truncated prompt is its end, for every kind of input; what is cut off may be longer than the context.
func TestTruncate(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{}) // a context of 256
	client := generator(i)
	bytes := func(text string) *sluicev1.GenerateRequest {
		in := greedy("", 8)
		ids := make([]uint32, len(text))
		for k := range ids {
			ids[k] = uint32(text[k])
		}
		in.Input = &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: ids}}
		return in
	}
	want := mustStream(t, client, bytes("the end")).text
	cut := func(in *sluicev1.GenerateRequest, n uint32) *sluicev1.GenerateRequest {
		in.TruncatePromptTokens = &n
		return in
	}
	for name, in := range map[string]*sluicev1.GenerateRequest{
		"a prompt":    cut(greedy("not the end", 8), 7),
		"long prompt": cut(greedy(strings.Repeat("x", 9000)+"the end", 8), 7),
		"tokens":      cut(bytes(strings.Repeat("x", 9000)+"the end"), 7),
	} {
		got := mustStream(t, client, in)
		if got.text != want || got.summary.GetUsage().GetPromptTokens() != 7 {
			t.Errorf("%s: %q of %v, want %q", name, got.text, got.summary.GetUsage(), want)
		}
	}
	if got := mustStream(t, client, cut(greedy("short", 8), 200)); got.summary.GetUsage().GetPromptTokens() != 6 {
		t.Errorf("a short prompt: %v", got.summary.GetUsage())
	}
	chat := cut(chatOf("hello"), 3)
	chat.Output = &sluicev1.OutputOptions{Echo: true}
	if got := mustStream(t, client, chat); !strings.HasPrefix(got.text, "nt\n") {
		t.Errorf("chat %q", got.text)
	}
}

package server_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// cachingToy is a model with a prefix store.
func cachingToy(t *testing.T) *inference.Model {
	t.Helper()
	return servertest.Toy{Session: inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: 3, MaxLength: 256, MaxChunk: 32, Blocks: 64},
	}}.Model(t)
}

// byPrompt is the log-likelihood of the end of a prompt, by its log-probabilities as Generate reports them.
func byPrompt(t *testing.T, client sluicev1.InferenceServiceClient, in *sluicev1.GenerateRequest, tokens int) (sum float64, logprobs []*sluicev1.TokenLogprobs) {
	t.Helper()
	in.Sampling = &sluicev1.Sampling{MaxTokens: proto.Uint32(1)}
	in.Output = &sluicev1.OutputOptions{PromptLogprobs: proto.Uint32(2), Entropy: true}
	whole, err := client.Generate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	logprobs = whole.GetPromptLogprobs()
	logprobs = logprobs[len(logprobs)-tokens:]
	for _, position := range logprobs {
		sum += float64(position.GetChosen().GetLogprob())
	}
	return sum, logprobs
}

// TestScore: continuations are as likely as the log-probabilities of a prompt that ends with them say, cached or not, and
// what greedy generation gives is greedy.
func TestScore(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{cachingToy(t)})
	client := generator(i)
	prompt := strings.Repeat("The quick brown fox. ", 4)
	greedily, err := client.Generate(t.Context(), greedy(prompt, 3))
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"a", "jumps over", strings.Repeat("x", 40), "é"}
	in := &sluicev1.ScoreRequest{
		Input: &sluicev1.ScoreRequest_Prompt{Prompt: prompt}, Continuations: texts,
		Logprobs: proto.Uint32(2), Entropy: true, RequestId: "mine",
	}
	for _, bypass := range []bool{true, false, false} {
		in.Cache = &sluicev1.CacheOptions{Bypass: bypass}
		got, err := client.Score(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if got.GetId() != "mine" || got.GetModel() != "toy" || len(got.GetScores()) != len(texts) {
			t.Fatalf("got %v", got)
		}
		sum := 0
		for n, score := range got.GetScores() {
			sum += len(prompt) + 1 + len(texts[n])
			want, logprobs := byPrompt(t, client, &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Prompt{Prompt: prompt + texts[n]}}, len(texts[n]))
			if int(score.GetTokens()) != len(texts[n]) || math.Abs(score.GetLogLikelihood()-want) > 1e-6 {
				t.Errorf("bypass %v: %q has %v of %d tokens, want %v", bypass, texts[n], score.GetLogLikelihood(), score.GetTokens(), want)
			}
			if diff := cmp.Diff(logprobs, score.GetLogprobs(), protocmp.Transform()); diff != "" {
				t.Errorf("bypass %v: %q: -prompt +score\n%s", bypass, texts[n], diff)
			}
		}
		if u := got.GetUsage(); int(u.GetPromptTokens()) != sum || u.GetCompletionTokens() != 0 || (u.GetCachedTokens() == 0) != bypass {
			t.Errorf("bypass %v: usage %v, want %d tokens", bypass, u, sum)
		}
	}
	tokens := &sluicev1.ScoreRequest{
		Input:         &sluicev1.ScoreRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: []uint32{'a', 'b'}}},
		Continuations: []string{"<|im_end|>"},
	}
	got, err := client.Score(t.Context(), tokens)
	if err != nil || got.GetScores()[0].GetTokens() != uint32(len("<|im_end|>")) {
		t.Errorf("a special token's text: %v, %v", got, err)
	}
	if text := greedily.GetOutputs()[0].GetText(); text != "" && !strings.ContainsRune(text, '\uFFFD') {
		in.Continuations = []string{text}
		got, err := client.Score(t.Context(), in)
		if err != nil || !got.GetScores()[0].GetIsGreedy() {
			t.Errorf("%q is not greedy: %v, %v", text, got, err)
		}
	}
}

// TestExplain: an effect is what the answer loses without the segment.
func TestExplain(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{cachingToy(t)})
	client := generator(i)
	score := func(in *sluicev1.ScoreRequest) float64 {
		t.Helper()
		got, err := client.Score(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return got.GetScores()[0].GetLogLikelihood()
	}
	prompt := func(text string) *sluicev1.ScoreRequest {
		return &sluicev1.ScoreRequest{Input: &sluicev1.ScoreRequest_Prompt{Prompt: text}, Continuations: []string{"yes"}}
	}
	got, err := client.Explain(t.Context(), &sluicev1.ExplainRequest{
		Input: &sluicev1.ExplainRequest_Prompt{Prompt: "One is 1.5. Two!\n\nThree? "}, Answer: "yes",
	})
	if err != nil {
		t.Fatal(err)
	}
	base := score(prompt("One is 1.5. Two!\n\nThree? "))
	want := &sluicev1.ExplainResponse{
		Model: "toy", LogLikelihood: base, AnswerTokens: 3,
		Attributions: []*sluicev1.Attribution{
			{Start: 0, End: 12, Effect: base - score(prompt("Two!\n\nThree? "))},
			{Start: 12, End: 18, Effect: base - score(prompt("One is 1.5. Three? "))},
			{Start: 18, End: 25, Effect: base - score(prompt("One is 1.5. Two!\n\n"))},
		},
	}
	ignored := protocmp.IgnoreFields(&sluicev1.ExplainResponse{}, "id", "usage", "timings")
	if diff := cmp.Diff(want, got, protocmp.Transform(), ignored); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}

	messages := func(a, b string) *sluicev1.Chat {
		return &sluicev1.Chat{Messages: []*sluicev1.Message{{Role: "system", Content: a}, {Role: "user", Content: b}}}
	}
	chat := func(a, b string) *sluicev1.ScoreRequest {
		return &sluicev1.ScoreRequest{Input: &sluicev1.ScoreRequest_Chat{Chat: messages(a, b)}, Continuations: []string{"yes"}}
	}
	for unit, want := range map[sluicev1.ExplainUnit][]float64{
		sluicev1.ExplainUnit_EXPLAIN_UNIT_UNSPECIFIED: {score(chat("", "you two")), score(chat("Be", ""))},
		sluicev1.ExplainUnit_EXPLAIN_UNIT_WORD:        {score(chat("", "you two")), score(chat("Be", "two")), score(chat("Be", "you "))},
		sluicev1.ExplainUnit_EXPLAIN_UNIT_LINE:        {score(chat("", "you two")), score(chat("Be", ""))},
	} {
		got, err := client.Explain(t.Context(), &sluicev1.ExplainRequest{
			Input: &sluicev1.ExplainRequest_Chat{Chat: messages("Be", "you two")}, Answer: "yes", Unit: unit,
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.GetAttributions()) != len(want) {
			t.Fatalf("%v: %v", unit, got)
		}
		for n, a := range got.GetAttributions() {
			if without := got.GetLogLikelihood() - a.GetEffect(); math.Abs(without-want[n]) > 1e-6 {
				t.Errorf("%v: without segment %d %v, want %v", unit, n, without, want[n])
			}
		}
	}
}

// TestBadScores: what cannot be scored is refused by name.
func TestBadScores(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{cachingToy(t)})
	client := generator(i)
	prompt := &sluicev1.ScoreRequest_Prompt{Prompt: "x"}
	one := []string{"y"}
	for _, test := range []struct {
		field string
		in    *sluicev1.ScoreRequest
	}{
		{"input", &sluicev1.ScoreRequest{Continuations: one}},
		{"prompt", &sluicev1.ScoreRequest{Input: &sluicev1.ScoreRequest_Prompt{}, Continuations: one}},
		{"continuations", &sluicev1.ScoreRequest{Input: prompt}},
		{"continuations", &sluicev1.ScoreRequest{Input: prompt, Continuations: make([]string, 257)}},
		{"continuations[1]", &sluicev1.ScoreRequest{Input: prompt, Continuations: []string{"y", ""}}},
		{"continuations[0]", &sluicev1.ScoreRequest{Input: prompt, Continuations: []string{strings.Repeat("y", 10<<20)}}},
		{"prompt", &sluicev1.ScoreRequest{Input: prompt, Continuations: []string{strings.Repeat("y", 300)}}},
		{"logprobs", &sluicev1.ScoreRequest{Input: prompt, Continuations: one, Logprobs: proto.Uint32(21)}},
		{"priority", &sluicev1.ScoreRequest{Input: prompt, Continuations: one, Priority: 101}},
	} {
		_, err := client.Score(t.Context(), test.in)
		if got := violations(t, wantStatus(t, err, codes.InvalidArgument)); got != test.field {
			t.Errorf("violations of %q, want %q: %v", got, test.field, err)
		}
	}
	text := &sluicev1.ExplainRequest_Prompt{Prompt: strings.Repeat("a ", 300)}
	for _, test := range []struct {
		field string
		in    *sluicev1.ExplainRequest
	}{
		{"input", &sluicev1.ExplainRequest{Answer: "y"}},
		{"answer", &sluicev1.ExplainRequest{Input: text}},
		{"unit", &sluicev1.ExplainRequest{Input: text, Answer: "y", Unit: sluicev1.ExplainUnit_EXPLAIN_UNIT_WORD}},
		{"unit", &sluicev1.ExplainRequest{Input: text, Answer: "y", Unit: 99}},
	} {
		_, err := client.Explain(t.Context(), test.in)
		if got := violations(t, wantStatus(t, err, codes.InvalidArgument)); got != test.field {
			t.Errorf("violations of %q, want %q: %v", got, test.field, err)
		}
	}
	if _, err := client.Score(t.Context(), &sluicev1.ScoreRequest{Model: "none such", Input: prompt, Continuations: one}); err == nil {
		t.Error("a model that is not there")
	} else {
		wantStatus(t, err, codes.NotFound)
	}
}

package sluice_test

import (
	"errors"
	"math"
	"testing"

	sluice "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

func TestServerScore(t *testing.T) {
	client := server(t)
	res, err := client.Score(t.Context(), &sluicev1.ScoreRequest{
		Input:         &sluicev1.ScoreRequest_Prompt{Prompt: prompts[0]},
		Continuations: []string{" Paris", " London"},
		Logprobs:      new(uint32(2)),
	})
	if err != nil {
		t.Fatal(err)
	}
	paris, london := res.GetScores()[0], res.GetScores()[1]
	if res.GetModel() != model || res.GetId() == "" || paris.GetLogLikelihood() <= london.GetLogLikelihood() {
		t.Errorf("got %v", res)
	}
	for _, score := range res.GetScores() {
		logprobs := score.GetLogprobs()
		if score.GetTokens() != 1 || len(logprobs) != 1 || len(logprobs[0].GetTop()) != 2 ||
			math.Abs(float64(logprobs[0].GetChosen().GetLogprob())-score.GetLogLikelihood()) > 1e-6 {
			t.Errorf("got %v", score)
		}
	}
	_, err = client.Score(t.Context(), &sluicev1.ScoreRequest{Input: &sluicev1.ScoreRequest_Prompt{Prompt: prompts[0]}})
	wantViolation(t, err, "continuations")
}

func TestServerExplain(t *testing.T) {
	client := server(t)
	const first, second = "I like tea. ", "The capital of France is"
	explain := func(prompt, answer string) (*sluicev1.ExplainResponse, error) {
		return client.Explain(t.Context(), &sluicev1.ExplainRequest{
			Input: &sluicev1.ExplainRequest_Prompt{Prompt: prompt}, Answer: answer,
		})
	}
	res, err := explain(first+second, " Paris")
	if err != nil {
		t.Fatal(err)
	}
	parts := res.GetAttributions()
	if len(parts) != 2 || int(parts[0].GetEnd()) != len(first) || int(parts[1].GetEnd()) != len(first+second) ||
		res.GetAnswerTokens() != 1 {
		t.Fatalf("got %v", res)
	}
	// An effect is what scoring the rest, without the segment, gives less.
	rest, err := client.Score(t.Context(), &sluicev1.ScoreRequest{
		Input: &sluicev1.ScoreRequest_Prompt{Prompt: second}, Continuations: []string{" Paris"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := res.GetLogLikelihood() - rest.GetScores()[0].GetLogLikelihood(); math.Abs(parts[0].GetEffect()-want) > 1e-3 {
		t.Errorf("effect %v, want %v", parts[0].GetEffect(), want)
	}
	_, err = explain(first, "")
	wantViolation(t, err, "answer")
}

// wantViolation checks that an error is about one field.
func wantViolation(t *testing.T, err error, field string) {
	t.Helper()
	e, ok := errors.AsType[*sluice.Error](err)
	if !ok || len(e.FieldViolations()) != 1 || e.FieldViolations()[0].GetField() != field {
		t.Errorf("got %v, want a violation of %s", err, field)
	}
}

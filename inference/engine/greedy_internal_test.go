package engine

import (
	"testing"

	"github.com/sluiceml/sluice/inference/grammar"
	"github.com/sluiceml/sluice/inference/sampling"
)

// TestGreedy: only a request of which nothing but the best logit is read gets no more than that.
func TestGreedy(t *testing.T) {
	for name, test := range map[string]struct {
		change func(r *Request)
		want   bool
	}{
		"greedy":                 {func(*Request) {}, true},
		"one of the best":        {func(r *Request) { r.Sampling.Temperature, r.Sampling.TopK = 1, 1 }, true},
		"log-probabilities":      {func(r *Request) { r.Logprobs.Wanted = true }, false},
		"those of the prompt":    {func(r *Request) { r.PromptLogprobs.Wanted = true }, false},
		"a trace":                {func(r *Request) { r.Trace = true }, false},
		"a grammar":              {func(r *Request) { r.Grammar = new(grammar.Grammar) }, false},
		"a temperature":          {func(r *Request) { r.Sampling.Temperature = 0.1 }, false},
		"two of the best":        {func(r *Request) { r.Sampling.Temperature, r.Sampling.TopK = 1, 2 }, false},
		"a repetition penalty":   {func(r *Request) { r.Sampling.RepetitionPenalty = 1.1 }, false},
		"a presence penalty":     {func(r *Request) { r.Sampling.PresencePenalty = 1 }, false},
		"a frequency penalty":    {func(r *Request) { r.Sampling.FrequencyPenalty = -1 }, false},
		"a bias":                 {func(r *Request) { r.Sampling.Bias = []sampling.Bias{{ID: 1, Value: 1}} }, false},
		"bad words":              {func(r *Request) { r.Sampling.BadWords = [][]uint32{{1}} }, false},
		"no repeated n-grams":    {func(r *Request) { r.Sampling.NoRepeatNGram = 3 }, false},
		"a least length":         {func(r *Request) { r.Sampling.MinTokens = 1 }, false},
		"allowed tokens":         {func(r *Request) { r.Sampling.Allowed = []uint32{1} }, false},
		"a share that is not on": {func(r *Request) { r.Sampling.TopP, r.Sampling.TypicalP = 0.5, 0.5 }, true},
	} {
		r := Request{Sampling: sampling.Greedy()}
		test.change(&r)
		if got := r.greedy(); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

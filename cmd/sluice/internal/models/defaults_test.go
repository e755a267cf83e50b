package models

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/model"
)

func TestTheModelsDefaultsWinOverSluices(t *testing.T) {
	sluices := inference.Sampling{MaxTokens: 256, Temperature: 1, TopP: 1, TypicalP: 1, RepetitionPenalty: 1}
	changed := func(f func(*inference.Sampling)) inference.Sampling {
		s := sluices
		f(&s)
		return s
	}
	tests := []struct {
		name   string
		config model.GenerationConfig
		want   inference.Sampling
	}{
		{"silent", model.GenerationConfig{}, sluices},
		{
			"all",
			model.GenerationConfig{
				Temperature: new(0.5), TopK: new(40), TopP: new(0.75), MinP: new(0.25), RepetitionPenalty: new(1.5),
				TypicalP: new(0.875), NoRepeatNGramSize: new(3), MinNewTokens: new(7),
			},
			inference.Sampling{
				MaxTokens: 256, Temperature: 0.5, TopK: 40, TopP: 0.75, MinP: 0.25, RepetitionPenalty: 1.5,
				TypicalP: 0.875, NoRepeatNGram: 3, MinTokens: 7,
			},
		},
		{
			"greedy",
			model.GenerationConfig{DoSample: new(false), Temperature: new(0.5)},
			changed(func(s *inference.Sampling) { s.Temperature = 0 }),
		},
		{
			"sampled",
			model.GenerationConfig{DoSample: new(true), Temperature: new(0.5)},
			changed(func(s *inference.Sampling) { s.Temperature = 0.5 }),
		},
		{
			"length",
			model.GenerationConfig{MaxNewTokens: new(512)},
			changed(func(s *inference.Sampling) { s.MaxTokens = 512 }),
		},
		{
			"length over the context",
			model.GenerationConfig{MaxNewTokens: new(4096)},
			changed(func(s *inference.Sampling) { s.MaxTokens = 1024 }),
		},
		{
			"least length over the length",
			model.GenerationConfig{MaxNewTokens: new(20), MinNewTokens: new(30)},
			changed(func(s *inference.Sampling) { s.MaxTokens, s.MinTokens = 20, 20 }),
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := defaults(test.config, 256, 1024)
			if diff := cmp.Diff(test.want, got.Sampling); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

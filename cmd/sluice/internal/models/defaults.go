package models

import (
	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/tokenizer"
)

// endTokens are the ids that end an output: those of generation_config.json, or the end token's own.
func endTokens(folder *model.Folder, tok *tokenizer.Tokenizer) []uint32 {
	if ids := folder.GenerationConfig.EOSTokenIDs; len(ids) > 0 {
		return ids
	}
	if id, ok := tok.ID(folder.EOSToken); ok && folder.EOSToken != "" {
		return []uint32{id}
	}
	return nil
}

// defaults are the values of what a request leaves unset: the model's own over Sluice's. An output cannot be longer than
// the context.
func defaults(g model.GenerationConfig, maxTokens, length int) inference.Defaults {
	s := inference.Sampling{MaxTokens: maxTokens, Temperature: 1, TopP: 1, TypicalP: 1, RepetitionPenalty: 1}
	set := func(to *float32, from *float64) {
		if from != nil {
			*to = float32(*from)
		}
	}
	set(&s.Temperature, g.Temperature)
	set(&s.TopP, g.TopP)
	set(&s.MinP, g.MinP)
	set(&s.TypicalP, g.TypicalP)
	set(&s.RepetitionPenalty, g.RepetitionPenalty)
	if g.TopK != nil {
		s.TopK = *g.TopK
	}
	if g.MaxNewTokens != nil {
		s.MaxTokens = *g.MaxNewTokens
	}
	s.MaxTokens = min(s.MaxTokens, length)
	if g.MinNewTokens != nil {
		s.MinTokens = min(*g.MinNewTokens, s.MaxTokens)
	}
	if g.NoRepeatNGramSize != nil {
		s.NoRepeatNGram = *g.NoRepeatNGramSize
	}
	if g.DoSample != nil && !*g.DoSample {
		s.Temperature = 0
	}
	return inference.Defaults{Sampling: s}
}

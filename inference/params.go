package inference

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sluiceml/sluice/inference/sampling"
	"github.com/sluiceml/sluice/tokenizer"
)

// params turns what a request says of sampling into what the engine draws by.
func (m *Model) params(ctx context.Context, maxTokens int, s *Sampling) (sampling.Params, error) {
	minTokens, err := m.minTokens(maxTokens, s)
	if err != nil {
		return sampling.Params{}, err
	}
	badWords, err := m.badWords(ctx, s.BadWords)
	if err != nil {
		return sampling.Params{}, err
	}
	return sampling.Params{
		Temperature:       s.Temperature,
		TopK:              s.TopK,
		TopP:              s.TopP,
		MinP:              s.MinP,
		TypicalP:          s.TypicalP,
		RepetitionPenalty: s.RepetitionPenalty,
		PresencePenalty:   s.PresencePenalty,
		FrequencyPenalty:  s.FrequencyPenalty,
		NoRepeatNGram:     s.NoRepeatNGram,
		Bias:              biases(s.LogitBias),
		BadWords:          badWords,
		MinTokens:         minTokens,
		Allowed:           s.AllowedTokenIDs,
		Seed:              s.Seed,
	}, nil
}

// minTokens settles how many tokens come before a request may end by itself. A request is refused for what it asked,
// not for what the model's makers recommend.
func (m *Model) minTokens(maxTokens int, s *Sampling) (int, error) {
	switch {
	case s.MinTokens <= maxTokens:
		return s.MinTokens, nil
	case s.MinTokens == m.config.Defaults.Sampling.MinTokens:
		return maxTokens, nil
	}
	return 0, Invalid("sampling.min_tokens", "it is %d, and at most %d tokens are generated", s.MinTokens, maxTokens)
}

// biases lists a map in the order of ids.
func biases(byID map[uint32]float32) []sampling.Bias {
	if len(byID) == 0 {
		return nil
	}
	list := make([]sampling.Bias, 0, len(byID))
	for id, value := range byID {
		list = append(list, sampling.Bias{ID: id, Value: value})
	}
	slices.SortFunc(list, func(a, b sampling.Bias) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// badWords encodes texts that must not appear, each as it stands and behind a space: where a word begins a text or
// follows punctuation it has other tokens than within a sentence. As in transformers' NoBadWordsLogitsProcessor, to
// which users give both forms, the tokens are what is forbidden, and an end token alone is not forbidden.
func (m *Model) badWords(ctx context.Context, words []string) ([][]uint32, error) {
	if len(words) == 0 {
		return nil, nil
	}
	if err := m.turns.take(ctx); err != nil {
		return nil, err
	}
	defer m.turns.give()
	var out [][]uint32
	for i, word := range words {
		forms := []string{word}
		if !strings.HasPrefix(word, " ") {
			forms = append(forms, " "+word)
		}
		for _, form := range forms {
			ids, err := m.config.Tokenizer.Encode(form, tokenizer.EncodeOptions{})
			switch {
			case err != nil:
				return nil, fmt.Errorf("encode a bad word: %w", err)
			case len(ids) == 0:
				return nil, Invalid(fmt.Sprintf("sampling.bad_words[%d]", i), "it has no tokens")
			case len(ids) == 1 && slices.Contains(m.config.EOSTokenIDs, ids[0]):
			default:
				out = append(out, ids)
			}
		}
	}
	return out, nil
}

package server

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// sampling converts how tokens are chosen: what the request says, over the model's defaults. The seed of a request
// that has none is drawn by the caller.
func (l limits) sampling(v *violations, in *sluicev1.Sampling) inference.Sampling {
	out := l.defaults.Sampling
	out.MaxTokens = 0 // as many as fit, up to the default
	out.Seed = in.GetSeed()
	if in == nil {
		return out
	}
	out.MaxTokens = l.maxTokens(v, in.MaxTokens)
	out.MinTokens = l.minTokens(v, in)
	out.Temperature = v.number("sampling.temperature", in.Temperature, out.Temperature, interval{low: 0, high: 2})
	if in.TopK != nil {
		out.TopK = min(int(in.GetTopK()), l.vocab) // more than there are keeps all, as 0 does
	}
	out.TopP = v.number("sampling.top_p", in.TopP, out.TopP, interval{low: 0, high: 1, open: true})
	out.MinP = v.number("sampling.min_p", in.MinP, out.MinP, interval{low: 0, high: 1})
	out.TypicalP = v.number("sampling.typical_p", in.TypicalP, out.TypicalP, interval{low: 0, high: 1, open: true})
	out.RepetitionPenalty = v.number("sampling.repetition_penalty", in.RepetitionPenalty, out.RepetitionPenalty,
		interval{low: 0, high: float32(math.Inf(1)), open: true})
	out.PresencePenalty = v.number("sampling.presence_penalty", in.PresencePenalty, out.PresencePenalty,
		interval{low: -2, high: 2})
	out.FrequencyPenalty = v.number("sampling.frequency_penalty", in.FrequencyPenalty, out.FrequencyPenalty,
		interval{low: -2, high: 2})
	if in.IgnoreEos != nil {
		out.IgnoreEOS = in.GetIgnoreEos()
	}
	if in.NoRepeatNgramSize != nil {
		out.NoRepeatNGram = int(min(int64(in.GetNoRepeatNgramSize()), int64(l.context))) // longer ones cannot occur twice
	}
	out.LogitBias = l.logitBias(v, in.GetLogitBias())
	out.AllowedTokenIDs = l.allowedIDs(v, in.GetAllowedTokenIds())
	out.BadWords = badWords(v, in.GetBadWords())
	out.N = l.outputCount(v, in.N, out.Temperature)
	return out
}

// maxTokens is the most tokens to generate; 0 leaves it to the model's default and what fits.
func (l limits) maxTokens(v *violations, value *uint32) int {
	switch {
	case value == nil:
		return 0
	case *value == 0:
		v.addf("sampling.max_tokens", "must be at least 1")
		return 0
	case int64(*value) > int64(l.context):
		v.addf("sampling.max_tokens", "must fit the model's context of %d tokens together with the prompt", l.context)
		return 0
	default:
		return int(*value)
	}
}

// minTokens is the fewest tokens to generate. The default is the model's; it gives way to the request's max_tokens.
func (l limits) minTokens(v *violations, in *sluicev1.Sampling) int {
	asked := l.defaults.Sampling.MinTokens
	if in.MinTokens == nil {
		return asked
	}
	switch asked := in.GetMinTokens(); {
	case int64(asked) > int64(l.context):
		v.addf("sampling.min_tokens", "must fit the model's context of %d tokens together with the prompt", l.context)
	case in.MaxTokens != nil && asked > in.GetMaxTokens():
		v.addf("sampling.min_tokens", "must be at most max_tokens")
	default:
		return int(asked)
	}
	return 0
}

// logitBias checks what is added to logits. Of several faults the lowest id's is noted.
func (l limits) logitBias(v *violations, in map[uint32]float32) map[uint32]float32 {
	if len(in) > maxLogitBias {
		v.addf("sampling.logit_bias", "must have at most %d entries", maxLogitBias)
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(in)) {
		field := fmt.Sprintf("sampling.logit_bias[%d]", id)
		if int64(id) >= int64(l.vocab) {
			v.addf(field, "its key must be below the vocabulary size of %d", l.vocab)
			return nil
		}
		if !v.check(field, in[id], interval{low: -100, high: 100}) {
			return nil
		}
	}
	return in
}

// allowedIDs checks the only tokens that may be drawn and puts them in order.
func (l limits) allowedIDs(v *violations, in []uint32) []uint32 {
	if len(in) == 0 {
		return nil
	}
	if len(in) > l.vocab {
		v.addf("sampling.allowed_token_ids", "must have at most as many entries as the vocabulary, %d", l.vocab)
		return nil
	}
	l.checkIDs(v, "sampling.allowed_token_ids", in)
	return slices.Compact(slices.Sorted(slices.Values(in)))
}

// badWords checks the texts that must not appear.
func badWords(v *violations, in []string) []string {
	if len(in) > maxBadWords {
		v.addf("sampling.bad_words", "must have at most %d entries", maxBadWords)
		return nil
	}
	for i, word := range in {
		switch field := fmt.Sprintf("sampling.bad_words[%d]", i); {
		case word == "":
			v.addf(field, "must not be empty")
		case len(word) > maxBadWordBytes:
			v.addf(field, "must have at most %d bytes", maxBadWordBytes)
		}
	}
	return in
}

// outputCount is the number of outputs; 0 is the default, 1. All outputs of greedy sampling would be the same.
func (l limits) outputCount(v *violations, value *uint32, temperature float32) int {
	switch {
	case value == nil:
		return 0
	case *value == 0:
		v.addf("sampling.n", "must be at least 1")
	case int64(*value) > int64(l.outputs):
		v.addf("sampling.n", "must be at most %d", l.outputs)
	case *value > 1 && temperature == 0:
		v.addf("sampling.n", "must be 1 with a temperature of 0: all outputs would be the same")
	default:
		return int(*value)
	}
	return 0
}

// priority checks how far a request goes before others.
func priority(v *violations, value int32) int {
	if value < -inference.MaxPriority || value > inference.MaxPriority {
		v.addf("priority", "must be from %d to %d", -inference.MaxPriority, inference.MaxPriority)
		return 0
	}
	return int(value)
}

// stop converts where an output ends besides the model's end token.
func (l limits) stop(v *violations, in *sluicev1.Stop) inference.Stop {
	texts := in.GetStrings()
	if len(texts) > maxStopStrings {
		v.addf("stop.strings", "must have at most %d entries", maxStopStrings)
		texts = nil
	}
	for i, text := range texts {
		switch field := fmt.Sprintf("stop.strings[%d]", i); {
		case text == "":
			v.addf(field, "must not be empty")
		case len(text) > maxStopBytes:
			v.addf(field, "must have at most %d bytes", maxStopBytes)
		}
	}
	ids := in.GetTokenIds()
	if len(ids) > maxStopIDs {
		v.addf("stop.token_ids", "must have at most %d entries", maxStopIDs)
	} else {
		l.checkIDs(v, "stop.token_ids", ids)
	}
	return inference.Stop{Strings: texts, TokenIDs: ids, IncludeInOutput: in.GetIncludeInOutput()}
}

package server

import (
	"fmt"
	"math"

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
	out.Temperature = v.number("sampling.temperature", in.Temperature, out.Temperature, interval{low: 0, high: 2})
	if in.TopK != nil {
		out.TopK = min(int(in.GetTopK()), l.vocab) // more than there are keeps all, as 0 does
	}
	out.TopP = v.number("sampling.top_p", in.TopP, out.TopP, interval{low: 0, high: 1, open: true})
	out.MinP = v.number("sampling.min_p", in.MinP, out.MinP, interval{low: 0, high: 1})
	out.RepetitionPenalty = v.number("sampling.repetition_penalty", in.RepetitionPenalty, out.RepetitionPenalty,
		interval{low: 0, high: float32(math.Inf(1)), open: true})
	out.PresencePenalty = v.number("sampling.presence_penalty", in.PresencePenalty, out.PresencePenalty,
		interval{low: -2, high: 2})
	out.FrequencyPenalty = v.number("sampling.frequency_penalty", in.FrequencyPenalty, out.FrequencyPenalty,
		interval{low: -2, high: 2})
	if in.IgnoreEos != nil {
		out.IgnoreEOS = in.GetIgnoreEos()
	}
	l.unsupportedSampling(v, in)
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

// unsupportedSampling notes the fields whose effect does not exist yet.
func (l limits) unsupportedSampling(v *violations, in *sluicev1.Sampling) {
	v.unsupported("sampling.min_tokens", in.GetMinTokens() != 0)
	v.inert("sampling.typical_p", in.TypicalP, 1, interval{low: 0, high: 1, open: true})
	v.unsupported("sampling.no_repeat_ngram_size", in.GetNoRepeatNgramSize() != 0)
	v.unsupported("sampling.logit_bias", len(in.GetLogitBias()) > 0)
	v.unsupported("sampling.allowed_token_ids", len(in.GetAllowedTokenIds()) > 0)
	v.unsupported("sampling.bad_words", len(in.GetBadWords()) > 0)
	if in.N != nil {
		switch n := in.GetN(); n {
		case 0:
			v.addf("sampling.n", "must be at least 1")
		case 1:
		default:
			v.addf("sampling.n", "more than 1 is not supported yet")
		}
	}
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

package sampling

import (
	"fmt"
	"math"
	"slices"
)

// Params says how tokens are drawn. The zero value is not valid: use Greedy or set every field of the first block; the
// zero value of the others is off. The slices are kept and must not be changed.
type Params struct {
	Temperature       float32 // 0 to 2; 0 draws the most likely token and ignores TopK, TopP, MinP and TypicalP
	TopK              int     // draw from the K most likely tokens; 0: from all
	TopP              float32 // above 0, to 1: draw from the most likely tokens that have this share; 1: from all
	MinP              float32 // 0 to 1: least probability, relative to the most likely token's
	RepetitionPenalty float32 // above 0; above 1 makes tokens of the prompt and the output less likely; 1: off
	PresencePenalty   float32 // -2 to 2: taken once from each token of the output; 0: off
	FrequencyPenalty  float32 // -2 to 2: taken from each token of the output as often as it occurs; 0: off
	Seed              uint64

	TypicalP      float32    // above 0, below 1: draw from the tokens nearest to the expected information; 0 and 1: off
	NoRepeatNGram int        // no run of so many tokens of prompt and output occurs again; 0: off
	Bias          []Bias     // added to logits; no token twice
	BadWords      [][]uint32 // sequences of tokens that the output never completes, none empty
	MinTokens     int        // so many tokens come before one of Ends
	Ends          []uint32   // the tokens that end the output
	Allowed       []uint32   // the only tokens that may be drawn, ascending; nil: all
}

// Bias is added to the logit of a token.
type Bias struct {
	ID    uint32
	Value float32 // -100 to 100
}

// Greedy are the parameters that draw the most likely token.
func Greedy() Params { return Params{TopP: 1, RepetitionPenalty: 1} }

// Validate reports the first field that is out of its range. No comparison with a NaN holds, so the conditions are
// written so that NaN fails them.
func (p Params) Validate() error {
	switch {
	case !(p.Temperature >= 0 && p.Temperature <= 2):
		return fmt.Errorf("sampling: temperature is %v, not 0 to 2", p.Temperature)
	case p.TopK < 0:
		return fmt.Errorf("sampling: top_k is %d, below 0", p.TopK)
	case !(p.TopP > 0 && p.TopP <= 1):
		return fmt.Errorf("sampling: top_p is %v, not above 0 and up to 1", p.TopP)
	case !(p.MinP >= 0 && p.MinP <= 1):
		return fmt.Errorf("sampling: min_p is %v, not 0 to 1", p.MinP)
	case !(p.RepetitionPenalty > 0 && p.RepetitionPenalty <= math.MaxFloat32):
		return fmt.Errorf("sampling: repetition_penalty is %v, not above 0", p.RepetitionPenalty)
	case !(p.PresencePenalty >= -2 && p.PresencePenalty <= 2):
		return fmt.Errorf("sampling: presence_penalty is %v, not -2 to 2", p.PresencePenalty)
	case !(p.FrequencyPenalty >= -2 && p.FrequencyPenalty <= 2):
		return fmt.Errorf("sampling: frequency_penalty is %v, not -2 to 2", p.FrequencyPenalty)
	case !(p.TypicalP >= 0 && p.TypicalP <= 1):
		return fmt.Errorf("sampling: typical_p is %v, not above 0 and up to 1", p.TypicalP)
	case p.NoRepeatNGram < 0:
		return fmt.Errorf("sampling: no_repeat_ngram_size is %d, below 0", p.NoRepeatNGram)
	case p.MinTokens < 0:
		return fmt.Errorf("sampling: min_tokens is %d, below 0", p.MinTokens)
	}
	return p.validateLists()
}

func (p Params) validateLists() error {
	for _, b := range p.Bias {
		if !(b.Value >= -maxBias && b.Value <= maxBias) {
			return fmt.Errorf("sampling: the bias of token %d is %v, not -%d to %d", b.ID, b.Value, maxBias, maxBias)
		}
	}
	for i, word := range p.BadWords {
		if len(word) == 0 {
			return fmt.Errorf("sampling: bad word %d has no tokens", i)
		}
	}
	for i, id := range p.Allowed {
		if i > 0 && id <= p.Allowed[i-1] {
			return fmt.Errorf("sampling: the allowed tokens are not in ascending order at %d", i)
		}
	}
	return nil
}

// maxBias bounds a bias, as OpenAI's logit_bias is.
const maxBias = 100

// penalises says whether the history changes the logits.
func (p Params) penalises() bool {
	return p.RepetitionPenalty != 1 || p.PresencePenalty != 0 || p.FrequencyPenalty != 0
}

// typical says whether the typical filter is on.
func (p Params) typical() bool { return p.TypicalP > 0 && p.TypicalP < 1 }

// TakesBest says whether a Sampler does nothing with a row but take the token whose logit is the best.
func (p Params) TakesBest() bool {
	return (p.Temperature == 0 || p.TopK == 1) && !p.penalises() && !p.masks() && len(p.Bias) == 0
}

// masks says whether tokens may be excluded whatever their logits.
func (p Params) masks() bool {
	return p.NoRepeatNGram > 0 || len(p.BadWords) > 0 || p.MinTokens > 0 || p.Allowed != nil
}

// looksBack says whether what is excluded depends on the order of the tokens so far.
func (p Params) looksBack() bool {
	return p.NoRepeatNGram > 0 || slices.ContainsFunc(p.BadWords, func(word []uint32) bool { return len(word) > 1 })
}

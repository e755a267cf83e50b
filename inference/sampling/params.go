package sampling

import (
	"fmt"
	"math"
)

// Params says how tokens are drawn. The zero value is not valid: use Greedy or set every field.
type Params struct {
	Temperature       float32 // 0 to 2; 0 draws the most likely token and ignores TopK, TopP and MinP
	TopK              int     // draw from the K most likely tokens; 0: from all
	TopP              float32 // above 0, to 1: draw from the most likely tokens that have this share; 1: from all
	MinP              float32 // 0 to 1: least probability, relative to the most likely token's
	RepetitionPenalty float32 // above 0; above 1 makes tokens of the prompt and the output less likely; 1: off
	PresencePenalty   float32 // -2 to 2: taken once from each token of the output; 0: off
	FrequencyPenalty  float32 // -2 to 2: taken from each token of the output as often as it occurs; 0: off
	Seed              uint64
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
	}
	return nil
}

// penalises says whether the history changes the logits.
func (p Params) penalises() bool {
	return p.RepetitionPenalty != 1 || p.PresencePenalty != 0 || p.FrequencyPenalty != 0
}

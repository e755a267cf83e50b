package model

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// RopeScaling stretches the rotary embedding to a longer context, as config.json says.
type RopeScaling struct {
	Kind                  string  // "linear", "llama3", "yarn" or "longrope"
	Factor                float64 // of all but longrope
	OriginalContextLength int     // of all but linear

	LowFreqFactor, HighFreqFactor float64 // llama3

	BetaFast, BetaSlow float64 // yarn: turns in the original context from and to which frequencies are stretched more and more
	Untruncated        bool    // yarn: the range is not widened to whole frequencies

	// ShortFactors and LongFactors are what longrope divides each frequency by: the short ones if the model's context is
	// no longer than the original one. (transformers chooses by the length of each text, which keys that are kept from
	// a text's beginning can't follow.)
	ShortFactors, LongFactors []float64

	AttentionFactor float64 // yarn and longrope: what cosines and sines are multiplied by; 0: 1
}

// The kinds of RopeScaling.
const (
	ropeLinear   = "linear"
	ropeLlama3   = "llama3"
	ropeYarn     = "yarn"
	ropeLongrope = "longrope"
)

// validate says what in the scaling is out of range. pairs is the number of frequencies.
func (r RopeScaling) validate(pairs int) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("the rope scaling's "+format, args...))
	}
	if r.Kind != ropeLongrope && !positive(r.Factor) {
		fault("factor is %v, it must be positive", r.Factor)
	}
	if r.Kind != ropeLinear && (r.OriginalContextLength < 1 || r.OriginalContextLength > maxSize) {
		fault("original context length is %d, it must be 1 to %d", r.OriginalContextLength, maxSize)
	}
	if r.AttentionFactor != 0 && !positive(r.AttentionFactor) {
		fault("attention factor is %v, it must be positive", r.AttentionFactor)
	}
	switch r.Kind {
	case ropeLinear:
	case ropeLlama3:
		if !positive(r.LowFreqFactor) || !positive(r.HighFreqFactor) || r.HighFreqFactor <= r.LowFreqFactor {
			fault("frequency factors are %v and %v, the low one must be below the high one", r.LowFreqFactor,
				r.HighFreqFactor)
		}
	case ropeYarn:
		if !positive(r.BetaFast) || !positive(r.BetaSlow) || r.BetaFast < r.BetaSlow {
			fault("betas are %v and %v, the fast one must not be below the slow one", r.BetaFast, r.BetaSlow)
		}
	case ropeLongrope:
		for _, factors := range [][]float64{r.ShortFactors, r.LongFactors} {
			if len(factors) != pairs {
				fault("factors are %d, want %d", len(factors), pairs)
			}
			for _, f := range factors {
				if !positive(f) {
					fault("factors have %v among them, they must be positive", f)
					break
				}
			}
		}
	default:
		return fmt.Errorf("the rope scaling %q is not supported, only %q, %q, %q and %q are", r.Kind, ropeLinear, ropeLlama3,
			ropeYarn, ropeLongrope)
	}
	return errors.Join(faults...)
}

// positive reports whether x is a positive finite number.
func positive(x float64) bool { return x > 0 && !math.IsInf(x, 0) }

// rotaryDim is the number of a head's values that are turned.
func (s *Spec) rotaryDim() int {
	if s.RotaryDim == 0 {
		return s.HeadSize
	}
	return s.RotaryDim
}

// InverseFrequencies gives the rotary embedding's angle per position for each pair of a head's turned values, scaling
// applied, as transformers' ROPE_INIT_FUNCTIONS do. The Spec must be valid.
func (s Spec) InverseFrequencies() []float64 {
	inverse := inverseFrequencies(s.RopeTheta, s.rotaryDim())
	r := s.RopeScaling
	if r == nil {
		return inverse
	}
	if r.Kind == ropeYarn {
		return r.yarn(inverse, s.RopeTheta)
	}
	for i, f := range inverse {
		inverse[i] = f / r.divisor(i, f, s.ContextLength)
	}
	return inverse
}

// LocalInverseFrequencies are the InverseFrequencies of the layers that have the window.
func (s Spec) LocalInverseFrequencies() []float64 {
	if s.LocalRopeTheta == 0 {
		return s.InverseFrequencies()
	}
	return inverseFrequencies(s.LocalRopeTheta, s.rotaryDim())
}

func inverseFrequencies(theta float64, dim int) []float64 {
	inverse := make([]float64, dim/2)
	for i := range inverse {
		inverse[i] = math.Pow(theta, -float64(2*i)/float64(dim))
	}
	return inverse
}

// Caveat says in what a converted model will differ from transformers' running of the checkpoint; "": in nothing. The Spec
// must be valid.
func (s Spec) Caveat() string {
	r := s.RopeScaling
	if r == nil || r.Kind != ropeLongrope || s.ContextLength <= r.OriginalContextLength || slices.Equal(r.ShortFactors, r.LongFactors) {
		return ""
	}
	return fmt.Sprintf("LongRoPE: texts of every length are turned by the angles for more than %d tokens, as llama.cpp does; "+
		"transformers has other angles for shorter texts, which --context %[1]d asks for", r.OriginalContextLength)
}

// divisor is what the inverse frequency f, number i, is divided by. Of llama3, long waves are stretched by Factor,
// short ones not at all, those between by a mean of the two.
func (r RopeScaling) divisor(i int, f float64, contextLength int) float64 {
	switch r.Kind {
	case ropeLinear:
		return r.Factor
	case ropeLongrope:
		if contextLength > r.OriginalContextLength {
			return r.LongFactors[i]
		}
		return r.ShortFactors[i]
	}
	turns := float64(r.OriginalContextLength) * f / (2 * math.Pi) // in the original context
	switch {
	case turns < r.LowFreqFactor:
		return r.Factor
	case turns > r.HighFreqFactor:
		return 1
	default:
		smooth := (turns - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor)
		return 1 / ((1-smooth)/r.Factor + smooth)
	}
}

// yarn stretches frequencies after Peng et al. 2023, arXiv:2309.00071: those that turn more than BetaFast times in the
// original context not at all, those that turn less than BetaSlow times by Factor, and those between by a mean that
// falls with their number.
func (r RopeScaling) yarn(inverse []float64, theta float64) []float64 {
	dim := float64(2 * len(inverse))
	// at is the number of the frequency that turns so many times.
	at := func(turns float64) float64 {
		return dim * math.Log(float64(r.OriginalContextLength)/(turns*2*math.Pi)) / (2 * math.Log(theta))
	}
	low, high := at(r.BetaFast), at(r.BetaSlow)
	if !r.Untruncated {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, dim-1)
	if low == high {
		high += 0.001
	}
	out := make([]float64, len(inverse))
	for i, f := range inverse {
		ramp := min(1, max(0, (float64(i)-low)/(high-low)))
		out[i] = f/r.Factor*ramp + f*(1-ramp)
	}
	return out
}

// yarnAttentionFactor is what YaRN multiplies cosines and sines by.
func yarnAttentionFactor(factor, mscale float64) float64 {
	if factor <= 1 {
		return 1
	}
	return 0.1*mscale*math.Log(factor) + 1
}

// longropeAttentionFactor is what LongRoPE multiplies cosines and sines by, of a context that is factor times as long as
// the original one.
func longropeAttentionFactor(factor float64, original int) float64 {
	if factor <= 1 {
		return 1
	}
	return math.Sqrt(1 + math.Log(factor)/math.Log(float64(original)))
}

package model

import (
	"errors"
	"fmt"
	"math"
)

// maxSize is the limit of every size in a Spec: products of two of them do not overflow.
const maxSize = 1 << 28

// maxLayers is the limit of a Spec's layers.
const maxLayers = 4096

// Validate says what in the Spec is out of range or does not fit together: every fault, joined.
func (s Spec) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	size := func(name string, n, limit int) {
		if n < 1 || n > limit {
			fault("%s is %d, it must be 1 to %d", name, n, limit)
		}
	}
	if s.Architecture != "llama" {
		fault("the architecture is %q, only \"llama\" is supported", s.Architecture)
	}
	size("the vocabulary size", s.VocabSize, maxSize)
	size("the hidden size", s.HiddenSize, maxSize)
	size("the intermediate size", s.IntermediateSize, maxSize)
	size("the number of layers", s.Layers, maxLayers)
	size("the number of heads", s.Heads, 1<<16)
	size("the number of key/value heads", s.KVHeads, 1<<16)
	size("the head size", s.HeadSize, 1<<12)
	size("the context length", s.ContextLength, maxSize)
	if s.KVHeads > 0 && s.Heads%s.KVHeads != 0 {
		fault("%d heads do not divide among %d key/value heads", s.Heads, s.KVHeads)
	}
	if s.HeadSize%2 != 0 {
		fault("the head size is %d, it must be even", s.HeadSize)
	}
	if !positive(s.RopeTheta) {
		fault("the rope base is %v, it must be positive", s.RopeTheta)
	}
	if !positive(s.NormEpsilon) || s.NormEpsilon >= 1 {
		fault("the norm's epsilon is %v, it must be between 0 and 1", s.NormEpsilon)
	}
	if s.RopeScaling != nil {
		faults = append(faults, s.RopeScaling.validate())
	}
	return errors.Join(faults...)
}

// validate says what in the scaling is out of range.
func (r RopeScaling) validate() error {
	if !positive(r.Factor) {
		return fmt.Errorf("the rope scaling's factor is %v, it must be positive", r.Factor)
	}
	switch r.Kind {
	case ropeLinear:
		return nil
	case ropeLlama3:
		if !positive(r.LowFreqFactor) || !positive(r.HighFreqFactor) || r.HighFreqFactor <= r.LowFreqFactor {
			return fmt.Errorf("the rope scaling's frequency factors are %v and %v, the low one must be below the high one",
				r.LowFreqFactor, r.HighFreqFactor)
		}
		if r.OriginalContextLength < 1 || r.OriginalContextLength > maxSize {
			return fmt.Errorf("the rope scaling's original context length is %d, it must be 1 to %d",
				r.OriginalContextLength, maxSize)
		}
		return nil
	default:
		return fmt.Errorf("the rope scaling %q is not supported, only %q and %q are", r.Kind, ropeLinear, ropeLlama3)
	}
}

// The kinds of RopeScaling.
const (
	ropeLinear = "linear"
	ropeLlama3 = "llama3"
)

// positive reports whether x is a positive finite number.
func positive(x float64) bool { return x > 0 && !math.IsInf(x, 0) }

// InverseFrequencies gives the rotary embedding's angle per position for each pair of a head's HeadSize values,
// HeadSize/2 of them, scaling applied, as transformers' ROPE_INIT_FUNCTIONS do. The Spec must be valid.
func (s Spec) InverseFrequencies() []float64 {
	inverse := make([]float64, s.HeadSize/2)
	for i := range inverse {
		inverse[i] = math.Pow(s.RopeTheta, -float64(2*i)/float64(s.HeadSize))
	}
	if s.RopeScaling != nil {
		for i, f := range inverse {
			inverse[i] = f / s.RopeScaling.divisor(f)
		}
	}
	return inverse
}

// divisor is what the inverse frequency f is divided by. Of llama3, long waves are stretched by Factor, short ones
// not at all, those between by a mean of the two.
func (r RopeScaling) divisor(f float64) float64 {
	if r.Kind == ropeLinear {
		return r.Factor
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

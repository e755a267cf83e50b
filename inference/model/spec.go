package model

import (
	"errors"
	"fmt"
	"slices"
)

// maxSize is the limit of every size in a Spec: products of two of them do not overflow.
const maxSize = 1 << 28

// maxLayers is the limit of a Spec's layers.
const maxLayers = 4096

// maxHeadSize is the limit of a Spec's head size.
const maxHeadSize = 1 << 12

// The values of Spec.Activation.
const (
	ActivationSiLU     = ""
	ActivationGELU     = "gelu"
	ActivationGELUTanh = "gelu_tanh" // GELU's approximation by a hyperbolic tangent
)

// Validate says what in the Spec is out of range or does not fit together: every fault, joined.
func (s Spec) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	size := func(name string, n, limit int) {
		if n < 1 || n > limit {
			fault("%s is %d, it must be 1 to %d", name, n, limit)
		}
	}
	a, ok := architectureNamed(s.Architecture)
	if !ok {
		fault("the architecture is %q, only %s are supported", s.Architecture, architectureNames())
	}
	size("the vocabulary size", s.VocabSize, maxSize)
	size("the hidden size", s.HiddenSize, maxSize)
	size("the intermediate size", s.IntermediateSize, maxSize)
	size("the number of layers", s.Layers, maxLayers)
	size("the number of heads", s.Heads, 1<<16)
	size("the number of key/value heads", s.KVHeads, 1<<16)
	size("the head size", s.HeadSize, maxHeadSize)
	size("the context length", s.ContextLength, maxSize)
	if s.KVHeads > 0 && s.Heads%s.KVHeads != 0 {
		fault("%d heads do not divide among %d key/value heads", s.Heads, s.KVHeads)
	}
	if s.HeadSize%2 != 0 {
		fault("the head size is %d, it must be even", s.HeadSize)
	}
	if !positive(s.NormEpsilon) || s.NormEpsilon >= 1 {
		fault("the norm's epsilon is %v, it must be between 0 and 1", s.NormEpsilon)
	}
	if !slices.Contains([]string{ActivationSiLU, ActivationGELU, ActivationGELUTanh}, s.Activation) {
		fault("the activation %q is not supported", s.Activation)
	}
	for _, f := range []struct {
		name  string
		value float64
	}{
		{"the attention's scale", s.AttentionScale},
		{"the attention's soft cap", s.AttentionSoftcap},
		{"the logits' soft cap", s.LogitSoftcap},
		{"the embedding's scale", s.EmbeddingScale},
		{"the local rope base", s.LocalRopeTheta},
		{"the norm's offset", s.NormOffset},
	} {
		if f.value != 0 && !positive(f.value) {
			fault("%s is %v, it must be positive", f.name, f.value)
		}
	}
	if s.Window < 0 || s.Window > maxSize {
		fault("the window is %d, it must be 0 to %d", s.Window, maxSize)
	}
	if s.Sliding != nil && len(s.Sliding) != s.Layers || s.NoPositions != nil && len(s.NoPositions) != s.Layers {
		fault("%d layers, but the kinds of %d or %d", s.Layers, len(s.Sliding), len(s.NoPositions))
	}
	if !a.learned {
		faults = append(faults, s.validateRope())
	}
	return errors.Join(faults...)
}

// validateRope says what is wrong with the rotary embedding.
func (s *Spec) validateRope() error {
	if !positive(s.RopeTheta) {
		return fmt.Errorf("the rope base is %v, it must be positive", s.RopeTheta)
	}
	if dim := s.RotaryDim; dim < 0 || dim > s.HeadSize || dim%2 != 0 {
		return fmt.Errorf("%d of a head's %d values are turned, it must be an even number of them", dim, s.HeadSize)
	}
	if s.RopeScaling != nil {
		return s.RopeScaling.validate(s.rotaryDim() / 2)
	}
	return nil
}

package builder

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sluiceml/sluice/inference/model"
)

// SpecError says why a model can't be built from its description.
type SpecError struct {
	Field  string // name of the field of model.Spec
	Reason string
}

func (e *SpecError) Error() string { return fmt.Sprintf("model's %s: %s", e.Field, e.Reason) }

// TensorError says why a weight can't be used.
type TensorError struct {
	Name   string
	Reason string
}

func (e *TensorError) Error() string { return fmt.Sprintf("tensor %s: %s", e.Name, e.Reason) }

// maxRopeBytes bounds a table of rotary angles: the one thing in the data file that is as large as the description
// says and not as large as the checkpoint.
const maxRopeBytes = 1 << 30

// blockLength is the number of values that share a scale.
const blockLength = 32

// What GroupQueryAttention asks of a head's size, and for rotary tables of that and of how much of it is turned.
const (
	headAlign   = 8
	rotaryAlign = 16
)

// checkSpec returns every fault of the model's description: those of any model, and those of the graph and the forms.
func (p *plan) checkSpec() error {
	s := &p.spec
	if err := s.Validate(); err != nil {
		return fmt.Errorf("describe model: %w", err)
	}
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, &SpecError{Field: field, Reason: fmt.Sprintf(format, args...)})
	}
	if s.HeadSize%headAlign != 0 {
		fault("HeadSize", "%d is not a multiple of %d, which ONNX Runtime's attention needs", s.HeadSize,
			headAlign)
	}
	if s.ContextLength > maxRopeBytes/4/s.HeadSize {
		fault("ContextLength", "%d positions of %d values are too many for tables of rotary angles", s.ContextLength,
			s.HeadSize)
	}
	if p.form == FormRow8 && !p.llamaLike() {
		fault("Architecture", "--quantize row8 does not know the layers of this %s, only plain ones of Llama, Mistral and Qwen 2, without windows and YaRN; use int8", s.Architecture)
	}
	blocks := func(field string, width, block int) {
		if width%block != 0 {
			fault(field, "%d is not a multiple of %d, the length of a quantised block; use --quantize none or fp16", width, block)
		}
	}
	widths := map[string]int{"HiddenSize": s.HiddenSize, "IntermediateSize": s.IntermediateSize, "Heads": s.Heads * s.HeadSize}
	for _, field := range slices.Sorted(maps.Keys(widths)) {
		if p.blocked() {
			blocks(field, widths[field], p.block)
		}
		if p.form == FormRow8 && widths[field] > maxInputs {
			fault(field, "%d is more than %d, whose products 32 bits can sum up; use --quantize int8", widths[field], maxInputs)
		}
	}
	if p.form != FormNone && p.form != FormFP16 && p.block < blockLength { // the embedding's
		blocks("HiddenSize", s.HiddenSize, blockLength)
	}
	return errors.Join(faults...)
}

// llamaLike says whether the layers are a Llama's, which smoothing and the hybrid graph know.
func (p *plan) llamaLike() bool {
	s := &p.spec
	stretched := s.RopeScaling != nil && s.RopeScaling.AttentionFactor > 1 // keys grow when they are turned
	return slices.Contains([]string{"llama", "mistral", "qwen2"}, s.Architecture) && s.Window == 0 &&
		s.Activation == model.ActivationSiLU && !p.turnsOutside() && !stretched
}

// blocked says whether any part of the model is stored in blocks.
func (p *plan) blocked() bool {
	plain := func(f Form) bool { return f == FormNone || f == FormFP16 }
	if !plain(p.form) {
		return true
	}
	for _, f := range p.parts {
		if !plain(f) {
			return true
		}
	}
	return false
}

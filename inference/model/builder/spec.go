package builder

import (
	"errors"
	"fmt"

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

// headAlign is what GroupQueryAttention's rotary embedding asks of a head's size.
const headAlign = 16

// checkSpec returns every fault of s: those of any model, and those of the graph and the form.
func checkSpec(s *model.Spec, form Form) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("describe model: %w", err)
	}
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, &SpecError{Field: field, Reason: fmt.Sprintf(format, args...)})
	}
	if s.HeadSize%headAlign != 0 {
		fault("HeadSize", "%d is not a multiple of %d, which ONNX Runtime's rotary attention needs", s.HeadSize,
			headAlign)
	}
	if s.ContextLength > maxRopeBytes/4/s.HeadSize {
		fault("ContextLength", "%d positions of %d values are too many for tables of rotary angles", s.ContextLength,
			s.HeadSize)
	}
	if form == FormNone {
		return errors.Join(faults...)
	}
	blocks := func(field string, width int) {
		if width%blockLength != 0 {
			fault(field, "%d is not a multiple of %d, the length of a quantised block; use --quantize none", width,
				blockLength)
		}
	}
	blocks("HiddenSize", s.HiddenSize)
	blocks("IntermediateSize", s.IntermediateSize)
	blocks("Heads", s.Heads*s.HeadSize)
	if form == FormRow8 {
		for field, width := range map[string]int{"HiddenSize": s.HiddenSize, "IntermediateSize": s.IntermediateSize} {
			if width > maxInputs {
				fault(field, "%d is more than %d, whose products 32 bits can sum up; use --quantize int8", width, maxInputs)
			}
		}
	}
	return errors.Join(faults...)
}

package builder

import (
	"fmt"
	"strings"

	"github.com/sluiceml/sluice/inference/model"
)

// Form says how weights are stored.
type Form string

// The forms that sluice convert offers. All but FormNone keep norms and biases at float32.
const (
	FormAuto Form = "auto" // a GGUF's own blocks of 4 and 8 bits, int8 blocks for everything else
	FormNone Form = "none" // float32 throughout
	FormInt8 Form = "int8" // 8-bit blocks of 32
	// FormRow8 has 8-bit weights with a scale for each output and rounds activations to 8 bits with a scale for each
	// token: the fastest for many rows and in prefill. The embedding and the head are 8-bit blocks.
	FormRow8 Form = "row8"

	formInt4 Form = "int4"
	formFP16 Form = "fp16"
)

// ParseForm reads the value of --quantize. Its errors are a *FormError.
func ParseForm(s string) (Form, error) {
	f := Form(s)
	return f, f.check()
}

// check refuses what Build can't make.
func (f Form) check() error {
	switch f {
	case FormAuto, FormNone, FormInt8, FormRow8:
		return nil
	case formInt4, formFP16:
		return &FormError{Form: string(f), Known: true}
	default:
		return &FormError{Form: string(f)}
	}
}

// FormError says that weights can't be stored in a form.
type FormError struct {
	Form  string
	Known bool // whether it is a form that a later version will offer
}

func (e *FormError) Error() string {
	offered := strings.Join([]string{string(FormAuto), string(FormInt8), string(FormRow8), string(FormNone)}, ", ")
	if e.Known {
		return fmt.Sprintf("quantize %s is not supported yet; use %s", e.Form, offered)
	}
	return fmt.Sprintf("quantize %q is no form of weights; use %s", e.Form, offered)
}

// Options are what a caller may choose about a conversion. The zero value converts to FormAuto.
type Options struct {
	Quantize Form // "" is FormAuto
	// Version is the version of the tool, Name the model's, and Source the checkpoint's files, for sluice.json.
	Version string
	Name    string
	Source  model.Origin
	// Calibration holds texts as tokens, which FormRow8 takes to find what to smooth. None: nothing is smoothed. The other forms don't look at it.
	Calibration [][]uint32
	// Workers bounds the goroutines that convert weights; 0 takes one per available CPU. The result doesn't depend
	// on it.
	Workers int
	// Progress, if not nil, is told how many bytes of the weights are written. Calls never overlap; done rises from 0
	// to total.
	Progress func(done, total int64)

	accuracy int // 0: accuracyInt8; for tests
}

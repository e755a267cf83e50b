package builder

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/sluiceml/sluice/inference/model"
)

// Form says how weights are stored.
type Form string

// The forms that sluice convert offers. All but FormNone keep norms and biases at float32.
const (
	FormAuto Form = "auto" // a GGUF's own blocks of 4 and 8 bits, int8 blocks for everything else
	FormNone Form = "none" // float32 throughout
	FormFP16 Form = "fp16" // binary16 in the file; ONNX Runtime computes in float32
	FormInt8 Form = "int8" // 8-bit blocks
	FormInt4 Form = "int4" // 4-bit blocks; the embedding and, unless asked otherwise, the head are 8-bit blocks
	// FormRow8 has 8-bit weights with a scale for each output and rounds activations to 8 bits with a scale for each
	// token (Sluice's kernels, which run the same graph, with one for each 128 inputs): the fastest for many rows and in
	// prefill. The embedding is 8-bit blocks.
	FormRow8 Form = "row8"
)

// ParseForm reads the value of --quantize. Its errors are a *FormError.
func ParseForm(s string) (Form, error) {
	f := Form(s)
	return f, f.check()
}

// check refuses what Build can't make.
func (f Form) check() error {
	switch f {
	case FormAuto, FormNone, FormFP16, FormInt8, FormInt4, FormRow8:
		return nil
	default:
		return &FormError{Form: string(f)}
	}
}

// FormError says that weights can't be stored in a form.
type FormError struct{ Form string }

func (e *FormError) Error() string {
	offered := []string{
		string(FormAuto), string(FormInt4), string(FormInt8), string(FormRow8), string(FormFP16), string(FormNone),
	}
	return fmt.Sprintf("quantize %q is no form of weights; use %s", e.Form, strings.Join(offered, ", "))
}

// OptionError says which of the Options can't be had.
type OptionError struct{ Option, Reason string }

func (e *OptionError) Error() string { return e.Option + ": " + e.Reason }

// Method says how values become 4-bit codes.
type Method string

// The methods.
const (
	MethodNearest Method = "rtn"  // each to the nearest, by itself
	MethodGPTQ    Method = "gptq" // so that the product's results on the calibration texts change least
)

// Part is a part of a model that may be stored in a form of its own.
type Part string

// The parts. A product's own name goes before the half of the layer that it belongs to.
const (
	PartHead      Part = "lm_head"
	PartAttention Part = "attention"    // both products of an attention layer
	PartMLP       Part = "mlp"          // both products of a feed-forward layer
	PartQKV       Part = "qkv_proj"     // queries, keys and values
	PartOutput    Part = "o_proj"       // what attention found, back into the residual stream
	PartGateUp    Part = "gate_up_proj" // into the feed-forward layer
	PartDown      Part = "down_proj"    // and out of it
)

func parts() []Part {
	return []Part{PartHead, PartAttention, PartMLP, PartQKV, PartOutput, PartGateUp, PartDown}
}

// Options are what a caller may choose about a conversion. The zero value converts to FormAuto.
type Options struct {
	Quantize Form   // "" is FormAuto
	Layout   Layout // "" is LayoutSluice
	// Parts have another form than Quantize; FormAuto and FormRow8 are of whole models.
	Parts map[Part]Form
	// BlockSize is how many values share a scale in FormInt4 and FormInt8: 16, 32, 64 or 128; 0 is 32. The embedding, and a
	// head that shares its bytes, always has 32.
	BlockSize int
	// Asymmetric gives every 4-bit block an offset besides its scale.
	Asymmetric bool
	// Method is how FormInt4 rounds; "" is MethodGPTQ if there is a Calibration and MethodNearest if not.
	Method Method
	// ContextLength shortens the model's context, and with it the tables of rotary angles; 0 leaves it. A model with LongRoPE
	// whose context is no longer than the one that it was first trained for turns by the angles of that.
	ContextLength int
	// Pooling is how the model was trained to give embeddings, for sluice.json: see model.Manifest.
	Pooling string
	// Version is the version of the tool, Name the model's, and Source the checkpoint's files, for sluice.json.
	Version string
	Name    string
	Source  model.Origin
	// Calibration holds texts as tokens. FormRow8 takes them to find what to smooth (none: nothing is smoothed), MethodGPTQ
	// to find which errors matter. The others don't look at them.
	Calibration [][]uint32
	// Pruned is what Prune said of the source, if it was pruned, for sluice.json.
	Pruned Pruned
	// Workers bounds the goroutines that convert weights; 0 takes one per available CPU. The result doesn't depend
	// on it.
	Workers int
	// Progress, if not nil, is told how many bytes of the weights are written. Calls never overlap; done rises from 0
	// to total.
	Progress func(done, total int64)

	accuracy int // 0: accuracyInt8; for tests
}

// Check refuses options that don't go together; Build does too. Its errors are a *FormError or an *OptionError.
func (o *Options) Check() error {
	if err := o.form().check(); err != nil {
		return err
	}
	if o.Layout == LayoutGenAI && o.form() == FormRow8 {
		return &OptionError{"layout", "row8 keeps two caches, which no other runtime knows: use another form with genai"}
	}
	if o.Layout != "" && o.Layout != LayoutSluice && o.Layout != LayoutGenAI {
		return &OptionError{"layout", fmt.Sprintf("%q is none; use %s or %s", o.Layout, LayoutSluice, LayoutGenAI)}
	}
	if o.ContextLength < 0 {
		return &OptionError{"context", fmt.Sprintf("%d tokens are too few", o.ContextLength)}
	}
	if !slices.Contains([]int{0, 16, 32, 64, 128}, o.BlockSize) {
		return &OptionError{"block size", fmt.Sprintf("%d is not 16, 32, 64 or 128", o.BlockSize)}
	}
	for part, form := range o.Parts {
		if !slices.Contains(parts(), part) {
			return &OptionError{"parts", fmt.Sprintf("%q is no part of a model; the parts are %v", part, parts())}
		}
		if err := form.check(); err != nil {
			return err
		}
		if form == FormAuto || form == FormRow8 || o.form() == FormRow8 {
			return &OptionError{"parts", fmt.Sprintf("%s of %s: row8 and auto are forms of a whole model", form, part)}
		}
	}
	switch o.Method {
	case "", MethodNearest, MethodGPTQ:
	default:
		return &OptionError{"method", fmt.Sprintf("%q is none; use rtn or gptq", o.Method)}
	}
	return nil
}

// Calibrates says whether the options make use of a Calibration.
func (o *Options) Calibrates() bool {
	four := o.form() == FormInt4
	for _, f := range o.Parts {
		four = four || f == FormInt4
	}
	return o.form() == FormRow8 || four && o.Method != MethodNearest
}

func (o *Options) form() Form { return cmp.Or(o.Quantize, FormAuto) }

func (o *Options) method() Method {
	if o.Method == "" && len(o.Calibration) > 0 {
		return MethodGPTQ
	}
	return cmp.Or(o.Method, MethodNearest)
}

func (o *Options) workers() int {
	if o.Workers < 1 {
		return runtime.GOMAXPROCS(0)
	}
	return o.Workers
}

// described is what sluice.json says of the options.
func (o *Options) described(p *plan) map[string]string {
	about := o.Pruned.described()
	about["quantize"] = string(p.form)
	for _, part := range slices.Sorted(maps.Keys(o.Parts)) {
		about["quantize."+string(part)] = string(o.Parts[part])
	}
	if p.block != blockLength {
		about["block_size"] = strconv.Itoa(p.block)
	}
	if p.asymmetric {
		about["asymmetric"] = "true"
	}
	if o.Layout == LayoutGenAI {
		about["layout"] = string(o.Layout)
	}
	if o.ContextLength > 0 {
		about["context"] = strconv.Itoa(p.spec.ContextLength)
	}
	if len(p.quantised) > 0 {
		about["method"] = string(o.method())
	}
	return about
}

// formOf is the form of a product's weights.
func (p *plan) formOf(product string) Form {
	if product == headName {
		switch form, ok := p.parts[PartHead]; {
		case ok:
			return form
		case p.form == FormInt4:
			return FormInt8
		}
		return p.form
	}
	if form, ok := p.parts[Part(product[strings.LastIndexByte(product, '.')+1:])]; ok {
		return form
	}
	half := PartMLP
	if strings.Contains(product, "attn") {
		half = PartAttention
	}
	return cmp.Or(p.parts[half], p.form)
}

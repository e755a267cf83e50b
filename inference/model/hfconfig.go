package model

import (
	"encoding/json/jsontext"
	"fmt"
)

// hfConfig is the part of a Hugging Face config.json that says what a Llama model is. Pointers: the value may be
// absent or null, and then has transformers' default.
type hfConfig struct {
	Architectures    []string `json:"architectures"`
	ModelType        string   `json:"model_type"`
	VocabSize        *int     `json:"vocab_size"`
	HiddenSize       *int     `json:"hidden_size"`
	IntermediateSize *int     `json:"intermediate_size"`
	Layers           *int     `json:"num_hidden_layers"`
	Heads            *int     `json:"num_attention_heads"`
	KVHeads          *int     `json:"num_key_value_heads"`
	HeadDim          *int     `json:"head_dim"`
	ContextLength    *int     `json:"max_position_embeddings"`
	NormEpsilon      *float64 `json:"rms_norm_eps"`
	HiddenAct        string   `json:"hidden_act"`
	TieWords         bool     `json:"tie_word_embeddings"`
	AttentionBias    bool     `json:"attention_bias"`
	MLPBias          bool     `json:"mlp_bias"`

	RopeTheta      *float64 `json:"rope_theta"`
	RopeScaling    *hfRope  `json:"rope_scaling"`    // transformers 4
	RopeParameters *hfRope  `json:"rope_parameters"` // transformers 5
	PartialRotary  *float64 `json:"partial_rotary_factor"`

	BOSTokenID *uint32  `json:"bos_token_id"`
	EOSTokenID TokenIDs `json:"eos_token_id"`
	PadTokenID *uint32  `json:"pad_token_id"`

	Quantization jsontext.Value `json:"quantization_config"`
}

// hfRope is a rope_scaling or rope_parameters.
type hfRope struct {
	Type           string   `json:"type"` // before transformers 4.43
	RopeType       string   `json:"rope_type"`
	Factor         *float64 `json:"factor"`
	LowFreqFactor  *float64 `json:"low_freq_factor"`
	HighFreqFactor *float64 `json:"high_freq_factor"`
	Original       *int     `json:"original_max_position_embeddings"`
	Theta          *float64 `json:"rope_theta"`
	PartialRotary  *float64 `json:"partial_rotary_factor"`
}

// hfArchitecture is the class of transformers that the converter knows.
const hfArchitecture = "LlamaForCausalLM"

// readHFConfig reads the config.json at path.
func readHFConfig(path string) (hfConfig, error) {
	var c hfConfig
	return c, readJSON(path, maxConfig, &c)
}

// spec makes a Spec of the config that was read from path.
func (c hfConfig) spec(path string) (Spec, error) {
	if err := c.supported(path); err != nil {
		return Spec{}, err
	}
	r := fields{path: path}
	s := Spec{
		Architecture:     "llama",
		VocabSize:        r.required("vocab_size", c.VocabSize),
		HiddenSize:       r.required("hidden_size", c.HiddenSize),
		IntermediateSize: r.required("intermediate_size", c.IntermediateSize),
		Layers:           r.required("num_hidden_layers", c.Layers),
		Heads:            r.required("num_attention_heads", c.Heads),
		ContextLength:    r.required("max_position_embeddings", c.ContextLength),
		NormEpsilon:      or(c.NormEpsilon, 1e-6),
		RopeTheta:        or(c.RopeTheta, 10000),
		TiedEmbeddings:   c.TieWords,
		AttentionBias:    c.AttentionBias,
		MLPBias:          c.MLPBias,
	}
	s.KVHeads = or(c.KVHeads, s.Heads)
	s.HeadSize = or(c.HeadDim, s.HiddenSize/max(s.Heads, 1))
	c.rope(&r, &s)
	if r.err != nil {
		return Spec{}, r.err
	}
	if err := s.Validate(); err != nil {
		return Spec{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// supported says what of the config this package would otherwise get wrong.
func (c hfConfig) supported(path string) error {
	switch {
	case len(c.Architectures) == 0 && c.ModelType == "":
		return &FieldError{Path: path, Field: "architectures", Err: errMissing}
	case len(c.Architectures) > 0 && c.Architectures[0] != hfArchitecture:
		return unsupported(path, "the architecture %.80q is not supported yet, only %q is", c.Architectures[0], hfArchitecture)
	case c.ModelType != "" && c.ModelType != "llama":
		return unsupported(path, "the model type %.80q is not supported yet, only \"llama\" is", c.ModelType)
	case c.HiddenAct != "" && c.HiddenAct != "silu" && c.HiddenAct != "swish":
		return unsupported(path, "hidden_act %.80q is not supported, only \"silu\" is", c.HiddenAct)
	case len(c.Quantization) > 0 && c.Quantization.Kind() != jsontext.KindNull:
		return unsupported(path, "weights with a quantization_config are not supported yet, only F32, F16 and BF16 are")
	}
	return nil
}

// rope reads the rotary embedding from rope_parameters, or from rope_scaling and rope_theta.
func (c hfConfig) rope(r *fields, s *Spec) {
	name, p := "rope_parameters", c.RopeParameters
	if p == nil {
		name, p = "rope_scaling", c.RopeScaling
	}
	partial := c.PartialRotary
	if p == nil {
		p = &hfRope{}
	}
	if p.PartialRotary != nil {
		partial = p.PartialRotary
	}
	if or(partial, 1) != 1 {
		r.failure(unsupported(r.path, "partial_rotary_factor %v is not supported", *partial))
	}
	s.RopeTheta = or(p.Theta, s.RopeTheta)
	kind := p.RopeType
	if kind == "" {
		kind = p.Type
	}
	switch kind {
	case "", "default":
	case ropeLinear:
		s.RopeScaling = &RopeScaling{Kind: kind, Factor: r.number(name+".factor", p.Factor)}
	case ropeLlama3:
		s.RopeScaling = &RopeScaling{
			Kind:                  kind,
			Factor:                r.number(name+".factor", p.Factor),
			LowFreqFactor:         r.number(name+".low_freq_factor", p.LowFreqFactor),
			HighFreqFactor:        r.number(name+".high_freq_factor", p.HighFreqFactor),
			OriginalContextLength: r.required(name+".original_max_position_embeddings", p.Original),
		}
	default:
		r.failure(unsupported(r.path, "the %s %.80q is not supported yet, only %q and %q are", name, kind, ropeLinear,
			ropeLlama3))
	}
}

// fields reads values that must be there. The first error sticks.
type fields struct {
	path string
	err  error
}

// failure notes the first error.
func (r *fields) failure(err error) {
	if r.err == nil {
		r.err = err
	}
}

// required gives a size: 1 to maxSize.
func (r *fields) required(name string, n *int) int {
	switch {
	case n == nil:
		r.failure(&FieldError{Path: r.path, Field: name, Err: errMissing})
	case *n < 1 || *n > maxSize:
		r.failure(&FieldError{Path: r.path, Field: name, Err: fmt.Errorf("%d is not from 1 to %d", *n, maxSize)})
	default:
		return *n
	}
	return 0
}

// number gives a number.
func (r *fields) number(name string, x *float64) float64 {
	if x == nil {
		r.failure(&FieldError{Path: r.path, Field: name, Err: errMissing})
		return 0
	}
	return *x
}

// or gives what p points to, else the default.
func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

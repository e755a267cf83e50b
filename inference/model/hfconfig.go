package model

import (
	"cmp"
	"encoding/json/jsontext"
	"fmt"
)

// hfConfig is the part of a Hugging Face config.json that says what a model is. Pointers: the value may be absent or
// null, and then has transformers' default.
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
	TieWords         *bool    `json:"tie_word_embeddings"`
	AttentionBias    *bool    `json:"attention_bias"`
	MLPBias          bool     `json:"mlp_bias"`

	// GPT-2's names of some of the above.
	GPT2Hidden   *int  `json:"n_embd"`
	GPT2Width    *int  `json:"n_inner"`
	GPT2Layers   *int  `json:"n_layer"`
	GPT2Heads    *int  `json:"n_head"`
	GPT2Context  *int  `json:"n_positions"`
	ScaleScores  *bool `json:"scale_attn_weights"`
	ScaleByLayer bool  `json:"scale_attn_by_inverse_layer_idx"`
	CrossesOver  bool  `json:"add_cross_attention"`

	RMSEpsilon       *float64 `json:"rms_norm_eps"`
	LayerEpsilon     *float64 `json:"layer_norm_eps"`
	LayerNormEpsilon *float64 `json:"layer_norm_epsilon"`

	HiddenAct          string `json:"hidden_act"`
	HiddenActivation   string `json:"hidden_activation"`
	ActivationFunction string `json:"activation_function"`

	RopeTheta      *float64 `json:"rope_theta"`
	RopeScaling    *hfRope  `json:"rope_scaling"`    // transformers 4
	RopeParameters *hfRope  `json:"rope_parameters"` // transformers 5
	PartialRotary  *float64 `json:"partial_rotary_factor"`
	RotaryPct      *float64 `json:"rotary_pct"`           // GPT-NeoX's name of it
	RotaryBase     *float64 `json:"rotary_emb_base"`      // GPT-NeoX's name of rope_theta
	LocalTheta     *float64 `json:"rope_local_base_freq"` // Gemma 3
	OriginalLength *int     `json:"original_max_position_embeddings"`
	NoRopeLayers   []int    `json:"no_rope_layers"` // 0: without
	NoRopeInterval *int     `json:"no_rope_layer_interval"`

	Window        *int     `json:"sliding_window"`
	UseWindow     bool     `json:"use_sliding_window"`
	WindowPattern *int     `json:"sliding_window_pattern"`
	WindowedFrom  *int     `json:"max_window_layers"`
	LayerTypes    []string `json:"layer_types"`
	Bidirectional bool     `json:"use_bidirectional_attention"`

	AttentionSoftcap *float64 `json:"attn_logit_softcapping"`
	LogitSoftcap     *float64 `json:"final_logit_softcapping"`
	QueryScalar      *float64 `json:"query_pre_attn_scalar"`
	ParallelResidual *bool    `json:"use_parallel_residual"`

	BOSTokenID *uint32  `json:"bos_token_id"`
	EOSTokenID TokenIDs `json:"eos_token_id"`
	PadTokenID *uint32  `json:"pad_token_id"`

	Quantization jsontext.Value `json:"quantization_config"`
}

// readHFConfig reads the config.json at path.
func readHFConfig(path string) (hfConfig, error) {
	var c hfConfig
	return c, readJSON(path, maxConfig, &c)
}

// spec makes a Spec of the config that was read from path.
func (c hfConfig) spec(path string) (Spec, error) {
	a, err := c.architecture(path)
	if err != nil {
		return Spec{}, err
	}
	r := &fields{path: path}
	s := a.defaults
	s.Architecture = a.name
	s.VocabSize = r.required("vocab_size", c.VocabSize)
	s.HiddenSize = r.required("hidden_size", cmp.Or(c.HiddenSize, c.GPT2Hidden))
	s.Layers = r.required("num_hidden_layers", cmp.Or(c.Layers, c.GPT2Layers))
	s.Heads = r.required("num_attention_heads", cmp.Or(c.Heads, c.GPT2Heads))
	s.ContextLength = r.required("max_position_embeddings", cmp.Or(c.ContextLength, c.GPT2Context))
	width := cmp.Or(c.IntermediateSize, c.GPT2Width)
	if width == nil && a.fourfold {
		s.IntermediateSize = 4 * s.HiddenSize
	} else {
		s.IntermediateSize = r.required("intermediate_size", width)
	}
	s.KVHeads = or(c.KVHeads, s.Heads)
	s.HeadSize = or(c.HeadDim, s.HiddenSize/max(s.Heads, 1))
	s.NormEpsilon = or(cmp.Or(c.RMSEpsilon, c.LayerEpsilon, c.LayerNormEpsilon), s.NormEpsilon)
	s.TiedEmbeddings = or(c.TieWords, s.TiedEmbeddings)
	s.AttentionBias = or(c.AttentionBias, s.AttentionBias)
	s.MLPBias = c.MLPBias
	s.Activation = r.activation(cmp.Or(c.HiddenActivation, c.HiddenAct, c.ActivationFunction), s.Activation)
	if r.err != nil {
		return Spec{}, r.err
	}
	if s.Layers > maxLayers {
		return Spec{}, fmt.Errorf("%s: %w", path, s.Validate()) // before anything is made for each of them
	}
	c.rope(r, &a, &s)
	if a.config != nil {
		a.config(&c, r, &s)
	}
	if r.err != nil {
		return Spec{}, r.err
	}
	s.dropWindow()
	if err := s.Validate(); err != nil {
		return Spec{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// dropWindow forgets a window that hides nothing, so that a graph of plain attention is made.
func (s *Spec) dropWindow() {
	if s.LocalRopeTheta == 0 && s.Window >= s.ContextLength {
		s.Window = 0
	}
	if s.Window == 0 {
		s.Sliding = nil
	}
}

// architecture finds the architecture, and says what of the config this package would otherwise get wrong.
func (c hfConfig) architecture(path string) (architecture, error) {
	if len(c.Quantization) > 0 && c.Quantization.Kind() != jsontext.KindNull {
		return architecture{}, unsupported(path, "weights with a quantization_config are not supported yet, only F32, F16 and BF16 are")
	}
	if len(c.Architectures) == 0 {
		if c.ModelType == "" {
			return architecture{}, &FieldError{Path: path, Field: "architectures", Err: errMissing}
		}
		a, ok := architectureBy(func(a *architecture) bool { return cmp.Or(a.modelType, a.name) == c.ModelType })
		if !ok {
			return architecture{}, unsupported(path, "the model type %.80q is not supported yet", c.ModelType)
		}
		return a, nil
	}
	a, ok := architectureBy(func(a *architecture) bool { return a.class == c.Architectures[0] })
	if !ok {
		return architecture{}, unsupported(path, "the architecture %.80q is not supported yet, only %s are", c.Architectures[0], architectureClasses())
	}
	if want := cmp.Or(a.modelType, a.name); c.ModelType != "" && c.ModelType != want {
		return architecture{}, unsupported(path, "the model type %.80q is not supported yet in a %s, only %q is", c.ModelType, a.class, want)
	}
	return a, nil
}

// layerTypes reads which layers have a window, from layer_types or else by a rule.
func (c *hfConfig) layerTypes(r *fields, s *Spec, sliding func(layer int) bool) {
	s.Window = 0
	if c.Window == nil {
		return
	}
	s.Window = r.required("sliding_window", c.Window)
	s.Sliding = make([]bool, s.Layers)
	if c.LayerTypes == nil {
		for i := range s.Sliding {
			s.Sliding[i] = sliding(i)
		}
		return
	}
	if len(c.LayerTypes) != s.Layers {
		r.failure(&FieldError{Path: r.path, Field: "layer_types", Err: fmt.Errorf("%d of them for %d layers", len(c.LayerTypes), s.Layers)})
		return
	}
	for i, kind := range c.LayerTypes {
		switch kind {
		case "sliding_attention":
			s.Sliding[i] = true
		case "full_attention":
		default:
			r.failure(unsupported(r.path, "layers of the type %.80q are not supported", kind))
		}
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

// activation translates transformers' name of an activation.
func (r *fields) activation(name, otherwise string) string {
	switch name {
	case "":
		return otherwise
	case "silu", "swish":
		return ActivationSiLU
	case "gelu":
		return ActivationGELU
	case "gelu_new", "gelu_pytorch_tanh", "gelu_fast":
		return ActivationGELUTanh
	}
	r.failure(unsupported(r.path, "the activation %.80q is not supported, only silu, gelu and gelu_pytorch_tanh are", name))
	return ""
}

// or gives what p points to, else the default.
func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

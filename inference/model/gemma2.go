package model

import "math"

// gemma2 reads Gemma 2: norms before and after each branch, soft caps, and a window in every second layer.
func gemma2() architecture {
	const period = 2
	return architecture{
		name: "gemma2", class: "Gemma2ForCausalLM",
		defaults: Spec{NormEpsilon: 1e-6, RopeTheta: 10000, Activation: ActivationGELUTanh, TiedEmbeddings: true},
		parts:    normsAfter(),
		config: func(c *hfConfig, r *fields, s *Spec) {
			c.gemma(r, s)
			c.layerTypes(r, s, func(layer int) bool { return (layer+1)%period != 0 })
		},
		gguf: func(m *metadata, s *Spec) {
			m.gemma(s, 46)
			s.AttentionSoftcap = m.float(m.key("attn_logit_softcapping"), 50)
			s.LogitSoftcap = m.float(m.key("final_logit_softcapping"), 30)
			s.Window = m.sizeOr(m.key("attention.sliding_window"), 4096)
			s.Sliding = m.slidingPattern(s.Layers, period)
		},
		layer: func(s *Spec, w *layerWeights) {
			w.norm("input_layernorm")
			w.attention(s, s.AttentionBias, s.AttentionBias)
			w.norm("post_attention_layernorm")
			w.norm("pre_feedforward_layernorm")
			w.gated(s)
			w.norm("post_feedforward_layernorm")
		},
	}
}

// gemma reads what Gemma 2 and 3 have in common. Their norms multiply by 1 + weight.
func (c *hfConfig) gemma(r *fields, s *Spec) {
	if c.Bidirectional {
		r.failure(unsupported(r.path, "attention to later tokens (use_bidirectional_attention) is not supported"))
	}
	s.NormOffset = 1
	s.EmbeddingScale = math.Sqrt(float64(s.HiddenSize))
	s.AttentionScale = 1 / math.Sqrt(or(c.QueryScalar, 256))
	s.AttentionSoftcap, s.LogitSoftcap = or(c.AttentionSoftcap, 0), or(c.LogitSoftcap, 0)
}

// gemma sets what a GGUF does not say. Its norms have the 1 already. A model of large layers, and no other, scales by
// the hidden size that a head has.
func (m *metadata) gemma(s *Spec, large int) {
	s.EmbeddingScale = math.Sqrt(float64(s.HiddenSize))
	s.AttentionScale = 1 / math.Sqrt(float64(s.HeadSize))
	if s.Layers == large {
		s.AttentionScale = 1 / math.Sqrt(float64(s.HiddenSize/max(1, s.Heads)))
	}
}

package model

// gemma3 reads the text models of Gemma 3: Gemma 2's layers with norms of queries and keys in place of soft caps. Layers
// with a window, all but every sixth, have a rope base of their own.
func gemma3() architecture {
	const period = 6
	const localTheta = 10000
	return architecture{
		name: "gemma3", class: "Gemma3ForCausalLM", modelType: "gemma3_text",
		defaults: Spec{NormEpsilon: 1e-6, RopeTheta: 1e6, Activation: ActivationGELUTanh, TiedEmbeddings: true},
		parts:    normsAfter(),
		config: func(c *hfConfig, r *fields, s *Spec) {
			c.gemma(r, s)
			every := period
			if c.WindowPattern != nil {
				every = r.required("sliding_window_pattern", c.WindowPattern)
			}
			c.layerTypes(r, s, func(layer int) bool { return (layer+1)%max(1, every) != 0 })
			s.LocalRopeTheta = or(c.LocalTheta, localTheta)
			if p := c.RopeParameters; p != nil && p.Local != nil {
				if kind := p.Local.kind(); kind != "default" {
					r.failure(unsupported(r.path, "the rope_parameters.sliding_attention %.80q is not supported", kind))
				}
				s.LocalRopeTheta = or(p.Local.Theta, s.LocalRopeTheta)
			}
		},
		gguf: func(m *metadata, s *Spec) {
			m.gemma(s, 62)
			s.LogitSoftcap = m.float(m.key("final_logit_softcapping"), 0)
			s.Window = m.sizeOr(m.key("attention.sliding_window"), 0)
			s.Sliding = m.slidingPattern(s.Layers, period)
			s.LocalRopeTheta = m.float(m.key("rope.freq_base_swa"), localTheta)
		},
		layer: func(s *Spec, w *layerWeights) {
			w.norm("input_layernorm")
			w.attention(s, s.AttentionBias, s.AttentionBias)
			w.headNorms(s.HeadSize, s.HeadSize)
			w.norm("post_attention_layernorm")
			w.norm("pre_feedforward_layernorm")
			w.gated(s)
			w.norm("post_feedforward_layernorm")
		},
	}
}

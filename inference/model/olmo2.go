package model

// olmo2 reads OLMo 2: norms after each branch and none before, and norms of all queries and of all keys of a token.
func olmo2() architecture {
	return architecture{
		name: "olmo2", class: "Olmo2ForCausalLM",
		defaults: Spec{NormEpsilon: 1e-5, RopeTheta: 10000},
		parts:    normsAfter(),
		gguf: func(m *metadata, _ *Spec) {
			if n := m.sizeOr(m.key("attention.sliding_window"), 0); n > 0 {
				m.fail(m.key("attention.sliding_window"), unsupported(m.path, "OLMo 3, whose layers have a window, is not supported"))
			}
		},
		layer: func(s *Spec, w *layerWeights) {
			w.attention(s, s.AttentionBias, s.AttentionBias)
			w.headNorms(s.Heads*s.HeadSize, s.KVHeads*s.HeadSize)
			w.norm("post_attention_layernorm")
			w.gated(s)
			w.norm("post_feedforward_layernorm")
		},
	}
}

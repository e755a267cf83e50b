package model

// qwen3 reads Qwen 3: a Llama with a norm of each query's and key's head.
func qwen3() architecture {
	return architecture{
		name: "qwen3", class: "Qwen3ForCausalLM",
		defaults: Spec{NormEpsilon: 1e-6, RopeTheta: 10000},
		config:   func(c *hfConfig, r *fields, s *Spec) { c.qwenWindow(r, s) },
		layer: func(s *Spec, w *layerWeights) {
			w.norm("input_layernorm")
			w.attention(s, s.AttentionBias, s.AttentionBias)
			w.headNorms(s.HeadSize, s.HeadSize)
			w.norm("post_attention_layernorm")
			w.gated(s)
		},
	}
}

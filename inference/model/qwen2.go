package model

// qwen2 reads Qwen 2 and 2.5: a Llama with biases of queries, keys and values.
func qwen2() architecture {
	return architecture{
		name: "qwen2", class: "Qwen2ForCausalLM",
		defaults: Spec{NormEpsilon: 1e-6, RopeTheta: 10000},
		config: func(c *hfConfig, r *fields, s *Spec) {
			s.AttentionBias = false // not what decides
			c.qwenWindow(r, s)
		},
		gguf: func(_ *metadata, s *Spec) { s.AttentionBias = false },
		layer: func(s *Spec, w *layerWeights) {
			w.norm("input_layernorm")
			w.attention(s, true, false)
			w.norm("post_attention_layernorm")
			w.gated(s)
		},
	}
}

// qwenWindow reads which layers have a window: those from max_window_layers on, if any.
func (c *hfConfig) qwenWindow(r *fields, s *Spec) {
	if c.UseWindow {
		c.layerTypes(r, s, func(layer int) bool { return layer >= or(c.WindowedFrom, 28) })
	}
}

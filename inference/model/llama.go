package model

// llama reads Llama 1, 2 and 3, and what has their layers under their name: SmolLM 1 and 2, and in GGUF Mistral too.
func llama() architecture {
	return architecture{
		name: "llama", class: "LlamaForCausalLM",
		defaults: Spec{NormEpsilon: 1e-6, RopeTheta: 10000},
		layer:    llamaLayer, ggufStored: unpermute,
	}
}

// llamaLayer lists the weights of a Llama's layer.
func llamaLayer(s *Spec, w *layerWeights) {
	w.norm("input_layernorm")
	w.attention(s, s.AttentionBias, s.AttentionBias)
	w.norm("post_attention_layernorm")
	w.gated(s)
}

package model

import "strings"

// gpt2 reads GPT-2: learned positions, LayerNorms with biases, a feed-forward layer without a gate. In safetensors its
// projections are stored as [in, out].
func gpt2() architecture {
	return architecture{
		name: "gpt2", class: "GPT2LMHeadModel", fourfold: true, learned: true, biased: true, prefix: "transformer.",
		defaults: Spec{NormEpsilon: 1e-5, Activation: ActivationGELUTanh, TiedEmbeddings: true},
		config: func(c *hfConfig, r *fields, s *Spec) {
			switch {
			case !or(c.ScaleScores, true):
				s.AttentionScale = 1
			case c.ScaleByLayer:
				r.failure(unsupported(r.path, "scores scaled by the layer (scale_attn_by_inverse_layer_idx) are not supported"))
			}
			if c.CrossesOver {
				r.failure(unsupported(r.path, "cross-attention (add_cross_attention) is not supported"))
			}
			s.AttentionBias, s.MLPBias = true, true
		},
		gguf: func(_ *metadata, s *Spec) { s.AttentionBias, s.MLPBias = true, true },
		layer: func(s *Spec, w *layerWeights) {
			w.norm("input_layernorm")
			w.attention(s, true, true)
			w.norm("post_attention_layernorm")
			w.plain(s, true)
		},
		stored: gpt2Stored,
	}
}

// gpt2Stored says where in safetensors a weight lies.
func gpt2Stored(s *Spec, name string) place {
	prefix, part := layerPart(name)
	if prefix == "" {
		name, kind, _ := strings.CutLast(name, ".")
		return place{name: map[string]string{ //nolint:gosec // no credentials
			"model.embed_tokens": "transformer.wte", "model.embed_positions": "transformer.wpe", finalNorm: "transformer.ln_f",
			"lm_head": "lm_head",
		}[name] + "." + kind}
	}
	prefix = strings.Replace(prefix, "model.layers.", "transformer.h.", 1)
	part, kind, _ := strings.CutLast(part, ".")
	if first, rows, ok := attentionPart(s, strings.TrimPrefix(part, "self_attn.")); ok {
		return place{name: prefix + "attn.c_attn." + kind, rows: rows, first: first, transposed: true}
	}
	to := map[string]string{
		"input_layernorm": "ln_1", "post_attention_layernorm": "ln_2", "self_attn.o_proj": "attn.c_proj",
		"mlp.up_proj": "mlp.c_fc", "mlp.down_proj": "mlp.c_proj",
	}[part]
	return place{name: prefix + to + "." + kind, transposed: true} // of a matrix; norms and biases are none
}

package model

import (
	"slices"
	"strings"
)

// gptneox reads GPT-NeoX and Pythia: attention and a feed-forward layer without a gate side by side, LayerNorms with
// biases, and rotary positions of a part of each head. In safetensors queries, keys and values are stored head by head.
func gptneox() architecture {
	return architecture{
		name: "gptneox", class: "GPTNeoXForCausalLM", modelType: "gpt_neox", biased: true, partial: true,
		defaults: Spec{
			NormEpsilon: 1e-5, RopeTheta: 10000, Activation: ActivationGELU, AttentionBias: true, ParallelResidual: true,
		},
		config: func(c *hfConfig, _ *fields, s *Spec) {
			s.ParallelResidual = or(c.ParallelResidual, true)
			s.MLPBias = true
		},
		gguf: func(m *metadata, s *Spec) {
			s.ParallelResidual = m.bool(m.key("use_parallel_residual"), true)
			s.MLPBias = true
		},
		layer: func(s *Spec, w *layerWeights) {
			w.norm("input_layernorm")
			w.attention(s, s.AttentionBias, s.AttentionBias)
			w.norm("post_attention_layernorm")
			w.plain(s, true)
		},
		stored: gptneoxStored,
	}
}

// gptneoxStored says where in safetensors a weight lies.
func gptneoxStored(s *Spec, name string) place {
	prefix, part := layerPart(name)
	if prefix == "" {
		name, kind, _ := strings.CutLast(name, ".")
		return place{name: map[string]string{ //nolint:gosec // no credentials
			"model.embed_tokens": "gpt_neox.embed_in", finalNorm: "gpt_neox.final_layer_norm", "lm_head": "embed_out",
		}[name] + "." + kind}
	}
	prefix = strings.Replace(prefix, "model.layers.", "gpt_neox.layers.", 1)
	part, kind, _ := strings.CutLast(part, ".")
	if i := slices.Index([]string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, part); i >= 0 {
		size := s.HeadSize
		return place{
			name: prefix + "attention.query_key_value." + kind, rows: 3 * s.Heads * size,
			order: func(row int) int { return (3*(row/size)+i)*size + row%size },
		}
	}
	to, ok := map[string]string{
		"self_attn.o_proj": "attention.dense", "mlp.up_proj": "mlp.dense_h_to_4h", "mlp.down_proj": "mlp.dense_4h_to_h",
	}[part]
	if !ok {
		to = part // the norms
	}
	return place{name: prefix + to + "." + kind}
}

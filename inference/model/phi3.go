package model

import "strings"

// phi3 reads Phi 3 and 3.5, and Phi 4 mini: a Llama whose projections lie on top of each other in the files, with
// LongRoPE and a window in some models.
func phi3() architecture {
	return architecture{
		name: "phi3", class: "Phi3ForCausalLM", partial: true,
		defaults: Spec{NormEpsilon: 1e-5, RopeTheta: 10000},
		config: func(c *hfConfig, r *fields, s *Spec) {
			s.AttentionBias, s.MLPBias = false, false // there are none, whatever config.json says
			if c.Window != nil {
				s.Window = r.required("sliding_window", c.Window)
			}
		},
		gguf:  func(m *metadata, s *Spec) { s.Window = m.sizeOr(m.key("attention.sliding_window"), 0) },
		layer: llamaLayer,
		stored: func(s *Spec, name string) place {
			prefix, part := layerPart(name)
			part = strings.TrimSuffix(part, ".weight")
			if first, rows, ok := attentionPart(s, strings.TrimPrefix(part, "self_attn.")); ok {
				return place{name: prefix + "self_attn.qkv_proj.weight", rows: rows, first: first}
			}
			if first, ok := gateUp(s, part); ok {
				return place{name: prefix + "mlp.gate_up_proj.weight", rows: 2 * s.IntermediateSize, first: first}
			}
			return place{name: name}
		},
		ggufStored: func(s *Spec, name string, p place) place {
			prefix, part := layerPart(name)
			if first, ok := gateUp(s, strings.TrimSuffix(part, ".weight")); ok {
				prefix = strings.Replace(prefix, "model.layers.", "blk.", 1)
				return place{name: prefix + "ffn_up.weight", rows: 2 * s.IntermediateSize, first: first}
			}
			return p
		},
	}
}

// gateUp is the first row of one of the two projections that lie on top of each other, the gate first.
func gateUp(s *Spec, part string) (first int, ok bool) {
	switch part {
	case "mlp.gate_proj":
		return 0, true
	case "mlp.up_proj":
		return s.IntermediateSize, true
	}
	return 0, false
}

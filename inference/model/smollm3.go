package model

// smollm3 reads SmolLM 3: a Llama of which every fourth layer does not turn queries and keys.
func smollm3() architecture {
	const interval = 4
	return architecture{
		name: "smollm3", class: "SmolLM3ForCausalLM",
		defaults: Spec{NormEpsilon: 1e-6, RopeTheta: 2e6, TiedEmbeddings: true},
		layer:    llamaLayer, ggufStored: unpermute,
		config: func(c *hfConfig, r *fields, s *Spec) {
			every := interval
			if c.NoRopeInterval != nil {
				every = r.required("no_rope_layer_interval", c.NoRopeInterval)
			}
			s.NoPositions = everyNth(s.Layers, max(1, every))
			if c.NoRopeLayers != nil {
				if len(c.NoRopeLayers) < s.Layers {
					r.failure(&FieldError{Path: r.path, Field: "no_rope_layers", Err: errMissing})
					return
				}
				for i := range s.NoPositions {
					s.NoPositions[i] = c.NoRopeLayers[i] == 0
				}
			}
			if c.UseWindow {
				c.layerTypes(r, s, func(layer int) bool { return s.NoPositions[layer] })
			}
		},
		gguf: func(_ *metadata, s *Spec) { s.NoPositions = everyNth(s.Layers, interval) },
	}
}

// everyNth marks the last of each n layers.
func everyNth(layers, n int) []bool {
	marks := make([]bool, layers)
	for i := range marks {
		marks[i] = (i+1)%n == 0
	}
	return marks
}

// not turns every mark around.
func not(marks []bool) []bool {
	for i := range marks {
		marks[i] = !marks[i]
	}
	return marks
}

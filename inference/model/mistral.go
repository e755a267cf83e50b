package model

// mistral reads Mistral, whose layers are Llama's with a window.
func mistral() architecture {
	return architecture{
		name: "mistral", class: "MistralForCausalLM", onlyHF: true, // GGUF has it as a llama, without the window
		defaults: Spec{NormEpsilon: 1e-6, RopeTheta: 10000},
		layer:    llamaLayer,
		config: func(c *hfConfig, r *fields, s *Spec) {
			if c.Window != nil {
				s.Window = r.required("sliding_window", c.Window)
			}
		},
	}
}

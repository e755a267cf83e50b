package builder

// mistral adds the graph of a Mistral: a Llama whose attention has a window, which the Spec says.
func (p *plan) mistral() error { return newDecoder(p).run((*decoder).llamaLayer) }

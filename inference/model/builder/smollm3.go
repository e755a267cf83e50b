package builder

// smollm3 adds the graph of a SmolLM 3: a Llama in some of whose layers, which the Spec names, positions play no part.
func (p *plan) smollm3() error { return newDecoder(p).run((*decoder).llamaLayer) }

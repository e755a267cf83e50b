package builder

// phi3 adds the graph of a Phi 3 or 4: a Llama that may turn a part of each head, by LongRoPE's angles.
func (p *plan) phi3() error { return newDecoder(p).run((*decoder).llamaLayer) }

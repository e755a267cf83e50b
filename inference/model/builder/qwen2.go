package builder

// qwen2 adds the graph of a Qwen 2 or 2.5: a Llama with biases of queries, keys and values, which are among the weights.
func (p *plan) qwen2() error { return newDecoder(p).run((*decoder).llamaLayer) }

package builder

// qwen3 adds the graph of a Qwen 3: a Llama with RMS norms of each head's queries and keys.
func (p *plan) qwen3() error {
	return newDecoder(p).run(func(d *decoder) {
		d.branch = d.attention(d.norm("input_layernorm"), (*decoder).headNorms)
		d.branch = d.gated(d.norm("post_attention_layernorm"))
	})
}

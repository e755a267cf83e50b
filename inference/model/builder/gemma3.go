package builder

// gemma3 adds the graph of a Gemma 3: Gemma 2's layers with RMS norms of each head's queries and keys. Layers with a window
// turn by angles of their own.
func (p *plan) gemma3() error {
	return newDecoder(p).run(func(d *decoder) {
		attended := d.attention(d.norm("input_layernorm"), (*decoder).headNorms)
		d.branch = d.normOf("post_attention_layernorm", attended)
		d.branch = d.normOf("post_feedforward_layernorm", d.gated(d.norm("pre_feedforward_layernorm")))
	})
}

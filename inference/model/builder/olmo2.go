package builder

// olmo2 adds the graph of an OLMo 2: RMS norms after attention and the feed-forward layer, none before, and norms of all
// queries and of all keys of a token.
func (p *plan) olmo2() error {
	return newDecoder(p).run(func(d *decoder) {
		d.branch = d.normOf("post_attention_layernorm", d.attention(d.stream(), (*decoder).wholeNorms))
		d.branch = d.normOf("post_feedforward_layernorm", d.gated(d.stream()))
	})
}

package builder

// gemma2 adds the graph of a Gemma 2: RMS norms before and after attention and the feed-forward layer. Soft caps, windows
// and scales are in the Spec.
func (p *plan) gemma2() error {
	return newDecoder(p).run(func(d *decoder) {
		d.branch = d.normOf("post_attention_layernorm", d.attention(d.norm("input_layernorm"), nil))
		d.branch = d.normOf("post_feedforward_layernorm", d.gated(d.norm("pre_feedforward_layernorm")))
	})
}

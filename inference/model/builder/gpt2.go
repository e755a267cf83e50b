package builder

// gpt2 adds the graph of a GPT-2: learned positions, LayerNorms before attention and before a feed-forward layer without a
// gate.
func (p *plan) gpt2() error {
	d := newDecoder(p)
	d.learned, d.layerNorms = true, true
	return d.run(func(d *decoder) {
		d.branch = d.attention(d.norm("input_layernorm"), nil)
		d.branch = d.ungated(d.norm("post_attention_layernorm"))
	})
}

package builder

// gptneox adds the graph of a GPT-NeoX: attention and a feed-forward layer without a gate, each after a LayerNorm of its
// own, side by side on the same residual stream unless the Spec says otherwise.
func (p *plan) gptneox() error {
	d := newDecoder(p)
	d.layerNorms = true
	return d.run(func(d *decoder) {
		attended := d.attention(d.norm("input_layernorm"), nil)
		if !d.spec.ParallelResidual {
			d.branch = attended
		}
		d.branch = d.ungated(d.norm("post_attention_layernorm"))
		if d.spec.ParallelResidual {
			d.branch = d.node(d.prefix+"branches", "", "Add", []string{attended, d.branch})
		}
	})
}

package builder

// llama adds the graph of a Llama: before attention and before the gated feed-forward layer an RMS norm, and each added to
// the residual stream.
func (p *plan) llama() error { return newDecoder(p).run((*decoder).llamaLayer) }

func (d *decoder) llamaLayer() {
	d.branch = d.attention(d.norm("input_layernorm"), nil)
	d.branch = d.gated(d.norm("post_attention_layernorm"))
}

package builder

import (
	"fmt"
	"math"

	"github.com/sluiceml/sluice/inference/model/onnx"
)

// attention adds a layer's attention to x, which is made of the residual stream: [tokens, hidden]. norms, unless it is
// nil, adds norms of the queries [tokens, queries] and keys [tokens, keys].
//
// After the last layer's attention a token's values go into no other token's, so only those with wanted logits are needed
// from there on, of the residual stream too.
func (d *decoder) attention(x string, norms func(d *decoder, q, k string) (string, string)) string {
	s := &d.spec
	queries, keys := s.Heads*s.HeadSize, s.KVHeads*s.HeadSize
	name := d.prefix + "self_attn"
	outs := []int{queries, keys, keys}
	qkv, err := d.project(x, projection{
		name: "qkv_proj", prefix: name + ".", weights: []string{"q_proj", "k_proj", "v_proj"}, outs: outs, in: s.HiddenSize,
		bias: s.AttentionBias,
	})
	if err != nil {
		d.fail(err)
		return ""
	}
	if norms != nil {
		parts := d.apart(name, qkv, outs)
		q, k := norms(d, parts[0], parts[1])
		qkv = []value{{q, queries}, {k, keys}, {parts[2], keys}}
	}
	attended := d.attended(name, qkv, outs)
	if d.layer == s.Layers-1 {
		attended = d.node("wanted_attention", "", "Gather", []string{attended, d.names.LogitsIndices})
		d.scope = "wanted"
		d.residual = d.node("wanted_residual", "", "Gather", []string{d.residual, d.names.LogitsIndices})
	}
	out, err := d.project(attended, projection{
		name: "o_proj", prefix: name + ".", weights: []string{"o_proj"}, outs: []int{s.HiddenSize}, in: queries,
		bias: s.AttentionBias,
	})
	if err != nil {
		d.fail(err)
		return ""
	}
	return out[0].name
}

// attended adds the attention itself: [tokens, queries].
func (d *decoder) attended(name string, qkv []value, outs []int) string {
	if cos, _ := d.tables(); cos != "" && d.turnsOutside() {
		return d.node(name+".flat", "", "Reshape", []string{d.turnedAttention(name, d.apart(name, qkv, outs)), d.rowShape})
	}
	packed := d.concat(name+".qkv", qkv)
	if d.names.Hybrid != nil {
		return d.hybridAttention(packed)
	}
	rows := d.node(name+".rows", "", "Reshape", []string{packed, d.qkvShape})
	return d.node(name+".flat", "", "Reshape", []string{d.attend(name, d.inputs(rows)), d.rowShape})
}

// apart gives each weight's part of a projection's results, which may lie side by side.
func (d *decoder) apart(name string, values []value, outs []int) []string {
	if len(values) == len(outs) {
		names := make([]string, len(values))
		for i, v := range values {
			names[i] = v.name
		}
		return names
	}
	sizes := d.once("qkv_sizes", func(name string) { d.constant(name, int64s(outs)...) })
	names := []string{name + ".queries", name + ".keys", name + ".values"}
	return d.nodes(name+".parts", "", "Split", []string{d.concat(name+".joined", values), sizes}, names, onnx.Int("axis", 1))
}

// headNorms are norms of each head.
func (d *decoder) headNorms(q, k string) (queries, keys string) {
	one := func(name, x string, heads int) string {
		name = d.prefix + "self_attn." + name
		size := d.spec.HeadSize
		heights := d.once("head_shape", func(name string) { d.constant(name, -1, int64(size)) })
		normed := d.plainNorm(name, d.node(name+".heads", "", "Reshape", []string{x, heights}), d.normWeights(name, size))
		shape := d.once(fmt.Sprintf("flat_%d", heads*size), func(name string) { d.constant(name, -1, int64(heads*size)) })
		return d.node(name+".flat", "", "Reshape", []string{normed, shape})
	}
	return one("q_norm", q, d.spec.Heads), one("k_norm", k, d.spec.KVHeads)
}

// wholeNorms are norms of all heads together.
func (d *decoder) wholeNorms(q, k string) (queries, keys string) {
	one := func(name, x string, heads int) string {
		name = d.prefix + "self_attn." + name
		return d.plainNorm(name, x, d.normWeights(name, heads*d.spec.HeadSize))
	}
	return one("q_norm", q, d.spec.Heads), one("k_norm", k, d.spec.KVHeads)
}

// attentionInputs are what one attention node reads besides the rotary tables. The names of keys and values have a %d for
// the layer.
type attentionInputs struct {
	qkv, key, value                              string // key and value are "" if all three are in qkv
	seqlens, total                               string
	pastKey, pastValue, presentKey, presentValue string
	keyScale, valueScale                         string // of 8-bit keys and values; "": they are float32
	turned                                       bool   // queries and keys have been turned by their positions
}

// inputs are those of a graph with one attention node a layer.
func (d *decoder) inputs(qkv string) attentionInputs {
	n := &d.names
	return attentionInputs{
		qkv: qkv, seqlens: n.SeqlensK, total: n.TotalSequenceLength,
		pastKey: n.PastKey, pastValue: n.PastValue, presentKey: n.PresentKey, presentValue: n.PresentValue,
	}
}

// attend adds an attention node.
func (d *decoder) attend(name string, in attentionInputs) string {
	s := &d.spec
	of := func(name string) string { return fmt.Sprintf(name, d.layer) }
	scale := s.AttentionScale
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(s.HeadSize))
	}
	inputs := []string{in.qkv, in.key, in.value, of(in.pastKey), of(in.pastValue), in.seqlens, in.total}
	attributes := []onnx.Attribute{
		onnx.Int("num_heads", s.Heads), onnx.Int("kv_num_heads", s.KVHeads), onnx.Real("scale", float32(scale)),
	}
	if cos, sin := d.tables(); cos != "" && !in.turned {
		inputs = append(inputs, cos, sin)
		attributes = append(attributes, onnx.Int("do_rotary", 1))
	}
	if window := s.LayerWindow(d.layer); window > 0 {
		attributes = append(attributes, onnx.Int("local_window_size", window))
	}
	if s.AttentionSoftcap > 0 {
		attributes = append(attributes, onnx.Real("softcap", float32(s.AttentionSoftcap)))
	}
	if in.keyScale != "" {
		inputs = append(inputs, "", "", "", in.keyScale, in.valueScale)
		attributes = append(attributes, onnx.Text("k_quant_type", "PER_CHANNEL"), onnx.Text("v_quant_type", "PER_CHANNEL"),
			onnx.Int("kv_cache_bit_width", 8))
	}
	return d.nodes(name, domainMicrosoft, "GroupQueryAttention", inputs,
		[]string{name, of(in.presentKey), of(in.presentValue)}, attributes...)[0]
}

// turnedAttention turns queries and keys before the attention node, which takes no rotary tables of their width.
func (d *decoder) turnedAttention(name string, qkv []string) string {
	s := &d.spec
	rows := func(part, x string, heads int) string {
		shape := d.shaped(part, heads*s.HeadSize)
		return d.node(name+"."+part+".rows", "", "Reshape", []string{x, shape})
	}
	cos, sin := d.tables()
	turn := func(part, x string, heads int) string {
		return d.node(name+"."+part+".turned", domainMicrosoft, "RotaryEmbedding",
			[]string{rows(part, x, heads), d.positions(), cos, sin}, onnx.Int("num_heads", heads),
			onnx.Int("rotary_embedding_dim", d.rotaryDim()))
	}
	in := d.inputs(turn("queries", qkv[0], s.Heads))
	in.key, in.value, in.turned = turn("keys", qkv[1], s.KVHeads), rows("values", qkv[2], s.KVHeads), true
	return d.attend(name, in)
}

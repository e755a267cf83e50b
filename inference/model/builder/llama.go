package builder

import (
	"fmt"
	"math"

	"github.com/sluiceml/sluice/inference/model/onnx"
)

// llama adds the graph of a Llama: RMS norm, grouped-query attention with rotary positions, and a gated feed-forward
// layer with SiLU, each added to a residual stream.
func (p *plan) llama() error {
	s := &p.spec
	p.signature()

	tokens := p.names.InputIDs
	l := llamaLayer{plan: p}
	if p.names.Hybrid == nil {
		tokens = p.node("tokens", "", "Reshape", []string{p.names.InputIDs, p.constant("flat", -1)})
		shape := p.node("input_shape", "", "Shape", []string{p.names.InputIDs})
		width := p.constant("qkv_width", int64((s.Heads+2*s.KVHeads)*s.HeadSize))
		l.qkvShape = p.node("qkv_shape", "", "Concat", []string{shape, width}, onnx.Int("axis", 0))
	}
	l.cos, l.sin = p.ropeTable("rope.cos", s, math.Cos), p.ropeTable("rope.sin", s, math.Sin)
	l.rowShape = p.constant("attention_shape", -1, int64(s.Heads*s.HeadSize))
	var err error
	if l.residual, err = p.embed(tokens); err != nil {
		return err
	}
	for i := range s.Layers {
		if err := l.add(i); err != nil {
			return err
		}
	}
	hidden, err := p.lastNorm("model.norm", l.residual, l.branch)
	if err != nil {
		return err
	}
	return p.head(hidden)
}

// llamaLayer adds one layer after another. The residual stream is residual + branch: the sum is left to the norm that
// reads it.
type llamaLayer struct {
	*plan

	cos, sin           string // tables of the rotary positions
	qkvShape, rowShape string // [B, S, queries, keys and values] and [tokens, queries]
	residual, branch   string
}

func (l *llamaLayer) add(i int) error {
	s := &l.spec
	prefix := fmt.Sprintf("model.layers.%d.", i)
	queries, keys := s.Heads*s.HeadSize, s.KVHeads*s.HeadSize

	x, residual, err := l.norm(prefix+"input_layernorm", l.residual, l.branch)
	if err != nil {
		return err
	}
	qkv, err := l.project(x, projection{
		name: "qkv_proj", prefix: prefix + "self_attn.", weights: []string{"q_proj", "k_proj", "v_proj"},
		outs: []int{queries, keys, keys}, in: s.HiddenSize, bias: s.AttentionBias,
	})
	if err != nil {
		return err
	}
	attended := l.attention(i, prefix, l.concat(prefix+"self_attn.qkv_proj", qkv))
	if i == s.Layers-1 {
		// From here on a token's values go into no other token's, so only those with wanted logits are needed.
		attended = l.node("wanted_attention", "", "Gather", []string{attended, l.names.LogitsIndices})
		l.scope = "wanted"
		residual = l.node("wanted_residual", "", "Gather", []string{residual, l.names.LogitsIndices})
	}
	branch, err := l.project(attended, projection{
		name: "o_proj", prefix: prefix + "self_attn.", weights: []string{"o_proj"},
		outs: []int{s.HiddenSize}, in: queries, bias: s.AttentionBias,
	})
	if err != nil {
		return err
	}
	x, l.residual, err = l.norm(prefix+"post_attention_layernorm", residual, branch[0].name)
	if err != nil {
		return err
	}
	l.branch, err = l.feedForward(prefix+"mlp.", x)
	return err
}

// attention adds the attention of one layer to the packed queries, keys and values [tokens, …] and returns
// [tokens, queries].
func (l *llamaLayer) attention(i int, prefix, qkv string) string {
	if l.names.Hybrid != nil {
		return l.hybridAttention(i, prefix, qkv)
	}
	rows := l.node(prefix+"self_attn.rows", "", "Reshape", []string{qkv, l.qkvShape})
	out := l.attend(prefix+"self_attn", attentionInputs{
		qkv: rows, seqlens: l.names.SeqlensK, total: l.names.TotalSequenceLength,
		pastKey: l.names.PastKey, pastValue: l.names.PastValue, presentKey: l.names.PresentKey, presentValue: l.names.PresentValue,
	}, i)
	return l.node(prefix+"self_attn.flat", "", "Reshape", []string{out, l.rowShape})
}

// attentionInputs are what one attention node reads besides the rotary tables. The names of keys and values have a %d for
// the layer.
type attentionInputs struct {
	qkv, seqlens, total                          string
	pastKey, pastValue, presentKey, presentValue string
	keyScale, valueScale                         string // of 8-bit keys and values; "": they are float32
}

// attend adds an attention node.
func (l *llamaLayer) attend(name string, in attentionInputs, layer int) string {
	s := &l.spec
	of := func(name string) string { return fmt.Sprintf(name, layer) }
	inputs := []string{in.qkv, "", "", of(in.pastKey), of(in.pastValue), in.seqlens, in.total, l.cos, l.sin}
	attributes := []onnx.Attribute{
		onnx.Int("num_heads", s.Heads), onnx.Int("kv_num_heads", s.KVHeads),
		onnx.Real("scale", float32(1/math.Sqrt(float64(s.HeadSize)))), onnx.Int("do_rotary", 1),
	}
	if in.keyScale != "" {
		inputs = append(inputs, "", "", "", in.keyScale, in.valueScale)
		attributes = append(attributes, onnx.Text("k_quant_type", "PER_CHANNEL"), onnx.Text("v_quant_type", "PER_CHANNEL"),
			onnx.Int("kv_cache_bit_width", 8))
	}
	return l.nodes(name, domainMicrosoft, "GroupQueryAttention", inputs,
		[]string{name, of(in.presentKey), of(in.presentValue)}, attributes...)[0]
}

// feedForward adds down(silu(gate(x)) · up(x)).
func (l *llamaLayer) feedForward(prefix, x string) (string, error) {
	s := &l.spec
	both, err := l.project(x, projection{
		name: "gate_up_proj", prefix: prefix, weights: []string{"gate_proj", "up_proj"},
		outs: []int{s.IntermediateSize, s.IntermediateSize}, in: s.HiddenSize, bias: s.MLPBias,
	})
	if err != nil {
		return "", err
	}
	gate, up := both[0].name, both[len(both)-1].name
	if len(both) == 1 {
		halves := l.nodes(prefix+"halves", "", "Split", []string{gate}, []string{prefix + "gate", prefix + "up"},
			onnx.Int("axis", 1), onnx.Int("num_outputs", 2))
		gate, up = halves[0], halves[1]
	}
	// QuickGelu is x · sigmoid(alpha · x), with an alpha of one SiLU.
	silu := l.node(prefix+"act_fn", domainMicrosoft, "QuickGelu", []string{gate}, onnx.Real("alpha", 1))
	gated := l.node(prefix+"gated", "", "Mul", []string{silu, up})
	down, err := l.project(gated, projection{
		name: "down_proj", prefix: prefix, weights: []string{"down_proj"},
		outs: []int{s.HiddenSize}, in: s.IntermediateSize, bias: s.MLPBias,
	})
	if err != nil {
		return "", err
	}
	return down[0].name, nil
}

// norm adds the RMS norm of residual + branch and returns it and the sum. Without a branch the sum is the residual.
func (p *plan) norm(name, residual, branch string) (normed, sum string, err error) {
	weight, err := p.vector(name+".weight", p.spec.HiddenSize)
	if err != nil {
		return "", "", err
	}
	if branch == "" {
		return p.node(name, "", "SimplifiedLayerNormalization", []string{residual, weight}, p.epsilon(),
			onnx.Int("axis", -1), onnx.Int("stash_type", 1)), residual, nil
	}
	out := p.nodes(name, domainMicrosoft, "SkipSimplifiedLayerNormalization", []string{residual, branch, weight},
		[]string{name, "", "", name + ".sum"}, p.epsilon())
	return out[0], out[3], nil
}

// lastNorm adds the RMS norm of residual + branch.
func (p *plan) lastNorm(name, residual, branch string) (string, error) {
	weight, err := p.vector(name+".weight", p.spec.HiddenSize)
	if err != nil {
		return "", err
	}
	return p.node(name, domainMicrosoft, "SkipSimplifiedLayerNormalization", []string{residual, branch, weight},
		p.epsilon()), nil
}

func (p *plan) epsilon() onnx.Attribute { return onnx.Real("epsilon", float32(p.spec.NormEpsilon)) }

// signature declares the graph's inputs and outputs.
func (p *plan) signature() {
	if p.names.Hybrid != nil {
		p.hybridSignature()
		return
	}
	batch := onnx.Named("batch")
	p.graph.Inputs = []onnx.Value{
		{Name: p.names.InputIDs, Type: onnx.Int64, Shape: []onnx.Dim{batch, onnx.Named("sequence")}},
		{Name: p.names.SeqlensK, Type: onnx.Int32, Shape: []onnx.Dim{batch}},
		{Name: p.names.TotalSequenceLength, Type: onnx.Int32},
		{Name: p.names.LogitsIndices, Type: onnx.Int64, Shape: []onnx.Dim{onnx.Named("wanted")}},
	}
	p.declareLogits()
	for i := range p.spec.Layers {
		p.declareCache(onnx.Float, batch, onnx.Named("cache"), i, p.names.PastKey, p.names.PresentKey)
		p.declareCache(onnx.Float, batch, onnx.Named("cache"), i, p.names.PastValue, p.names.PresentValue)
	}
}

func (p *plan) declareLogits() {
	p.graph.Outputs = []onnx.Value{{
		Name: p.names.Logits, Type: onnx.Float, Shape: []onnx.Dim{onnx.Named("wanted"), onnx.Fixed(p.spec.VocabSize)},
	}}
}

// declareCache declares a layer's keys or values, as input and as output.
func (p *plan) declareCache(typ onnx.DataType, batch, length onnx.Dim, layer int, past, present string) {
	shape := []onnx.Dim{batch, onnx.Fixed(p.spec.KVHeads), length, onnx.Fixed(p.spec.HeadSize)}
	p.graph.Inputs = append(p.graph.Inputs, onnx.Value{Name: fmt.Sprintf(past, layer), Type: typ, Shape: shape})
	p.graph.Outputs = append(p.graph.Outputs, onnx.Value{Name: fmt.Sprintf(present, layer), Type: typ, Shape: shape})
}

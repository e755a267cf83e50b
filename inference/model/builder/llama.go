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

	flat := p.node("tokens", "", "Reshape", []string{p.names.InputIDs, p.constant("flat", -1)})
	shape := p.node("input_shape", "", "Shape", []string{p.names.InputIDs})
	l := llamaLayer{
		plan: p,
		cos:  p.ropeTable("rope.cos", s, math.Cos), sin: p.ropeTable("rope.sin", s, math.Sin),
		qkvShape: p.node("qkv_shape", "", "Concat",
			[]string{shape, p.constant("qkv_width", int64((s.Heads+2*s.KVHeads)*s.HeadSize))}, onnx.Int("axis", 0)),
		rowShape: p.constant("attention_shape", -1, int64(s.Heads*s.HeadSize)),
	}
	var err error
	if l.residual, err = p.embed(flat); err != nil {
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
	s := &l.spec
	rows := l.node(prefix+"self_attn.rows", "", "Reshape", []string{qkv, l.qkvShape})
	out := l.nodes(prefix+"self_attn", domainMicrosoft, "GroupQueryAttention",
		[]string{
			rows, "", "", fmt.Sprintf(l.names.PastKey, i), fmt.Sprintf(l.names.PastValue, i), l.names.SeqlensK, l.names.TotalSequenceLength, l.cos, l.sin,
		},
		[]string{prefix + "self_attn", fmt.Sprintf(l.names.PresentKey, i), fmt.Sprintf(l.names.PresentValue, i)},
		onnx.Int("num_heads", s.Heads), onnx.Int("kv_num_heads", s.KVHeads),
		onnx.Real("scale", float32(1/math.Sqrt(float64(s.HeadSize)))), onnx.Int("do_rotary", 1))
	return l.node(prefix+"self_attn.flat", "", "Reshape", []string{out[0], l.rowShape})
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
	s := &p.spec
	batch, cache := onnx.Named("batch"), func(name string) onnx.Value {
		return onnx.Value{Name: name, Type: onnx.Float, Shape: []onnx.Dim{
			onnx.Named("batch"), onnx.Fixed(s.KVHeads), onnx.Named("cache"), onnx.Fixed(s.HeadSize),
		}}
	}
	g := &p.graph
	g.Inputs = []onnx.Value{
		{Name: p.names.InputIDs, Type: onnx.Int64, Shape: []onnx.Dim{batch, onnx.Named("sequence")}},
		{Name: p.names.SeqlensK, Type: onnx.Int32, Shape: []onnx.Dim{batch}},
		{Name: p.names.TotalSequenceLength, Type: onnx.Int32},
		{Name: p.names.LogitsIndices, Type: onnx.Int64, Shape: []onnx.Dim{onnx.Named("wanted")}},
	}
	g.Outputs = []onnx.Value{
		{Name: p.names.Logits, Type: onnx.Float, Shape: []onnx.Dim{onnx.Named("wanted"), onnx.Fixed(s.VocabSize)}},
	}
	for i := range s.Layers {
		g.Inputs = append(g.Inputs, cache(fmt.Sprintf(p.names.PastKey, i)), cache(fmt.Sprintf(p.names.PastValue, i)))
		g.Outputs = append(g.Outputs, cache(fmt.Sprintf(p.names.PresentKey, i)), cache(fmt.Sprintf(p.names.PresentValue, i)))
	}
}

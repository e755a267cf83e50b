package builder

import (
	"fmt"
	"math"

	"github.com/sluiceml/sluice/inference/model/onnx"
)

// decoder adds a model layer by layer. Its methods are the parts that layers are made of; an architecture's file puts them
// together. The first error sticks, and what is added after it is never used.
//
// The residual stream is residual + branch: the sum is left to the norm that reads it.
type decoder struct {
	*plan

	layerNorms bool // norms are LayerNorms with biases; else they are RMS norms
	learned    bool // positions are vectors, added to the embeddings

	layer            int
	prefix           string // of the layer's weights
	residual, branch string
	err              error

	inputShape, rowShape string // [B, S], and [tokens, queries]
	qkvShape             string // [B, S, queries, keys and values]
}

func newDecoder(p *plan) *decoder { return &decoder{plan: p} }

// run adds the graph, of which add adds one layer.
func (d *decoder) run(add func(*decoder)) error {
	d.signature()
	tokens := d.names.InputIDs
	if d.names.Hybrid == nil {
		tokens = d.node("tokens", "", "Reshape", []string{d.names.InputIDs, d.constant("flat", -1)})
		d.inputShape = d.node("input_shape", "", "Shape", []string{d.names.InputIDs})
		d.qkvShape = d.shaped("qkv", (d.spec.Heads+2*d.spec.KVHeads)*d.spec.HeadSize)
	}
	d.angles()
	d.rowShape = d.constant("attention_shape", -1, int64(d.spec.Heads*d.spec.HeadSize))
	d.residual = must(d, d.embed)(tokens)
	d.scaleEmbedding()
	if d.learned {
		d.addPositions()
	}
	for d.layer = range d.spec.Layers {
		d.prefix = fmt.Sprintf("model.layers.%d.", d.layer)
		if add(d); d.err != nil {
			return d.err
		}
	}
	d.prefix = ""
	hidden := d.norm("model.norm")
	if d.err != nil {
		return d.err
	}
	if err := d.head(hidden); err != nil {
		return err
	}
	d.capLogits()
	return nil
}

// headResult is the name of what the head's product gives.
func (p *plan) headResult() string {
	if p.spec.LogitSoftcap > 0 {
		return "logits.uncapped"
	}
	return p.names.Logits
}

// capLogits bounds the logits softly, if the model does.
func (d *decoder) capLogits() {
	if d.spec.LogitSoftcap <= 0 {
		return
	}
	most := d.real("logits.cap", d.spec.LogitSoftcap)
	part := d.node("logits.part", "", "Div", []string{d.headResult(), most})
	d.node(d.names.Logits, "", "Mul", []string{d.node("logits.tanh", "", "Tanh", []string{part}), most})
}

// must makes a function's error stick.
func must(d *decoder, f func(string) (string, error)) func(string) string {
	return func(x string) string {
		y, err := f(x)
		d.fail(err)
		return y
	}
}

// fail notes the first error.
func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// shaped is the shape [B, S, width].
func (d *decoder) shaped(name string, width int) string {
	return d.once(name+"_shape", func(shape string) {
		d.node(shape, "", "Concat", []string{d.inputShape, d.constant(name+"_width", int64(width))}, onnx.Int("axis", 0))
	})
}

// scaleEmbedding multiplies the embeddings by what the model says.
func (d *decoder) scaleEmbedding() {
	if s := d.spec.EmbeddingScale; s != 0 && s != 1 {
		scale := d.real("embedding_scale", s)
		d.residual = d.node(embeddingName+".scaled", "", "Mul", []string{d.residual, scale})
	}
}

// real adds a float32 number to the graph itself.
func (p *plan) real(name string, value float64) string {
	return p.once(name, func(name string) { p.scalar(name, onnx.Float, math.Float32bits(float32(value))) })
}

// positionsName is the table of learned positions.
const positionsName = "model.embed_positions"

// addPositions adds each token's learned position.
func (d *decoder) addPositions() {
	s := &d.spec
	t, err := d.tensor(positionsName+".weight", s.ContextLength, s.HiddenSize)
	if err != nil {
		d.fail(err)
		return
	}
	d.rows(tensorPlan{
		name: positionsName + ".weight", dims: t.Shape,
		fill: func(first, rows int, dst []byte) error { return floatRows(dst, t, first, rows) },
	})
	flat := d.node("positions.flat", "", "Reshape", []string{d.positions(), "flat"})
	at := d.node(positionsName, "", "Gather", []string{positionsName + ".weight", flat})
	d.residual = d.node(embeddingName+".placed", "", "Add", []string{d.residual, at})
}

// positions are those of the tokens, [B, S]: seqlens_k is a row's last one.
func (d *decoder) positions() string {
	return d.once("positions", func(name string) {
		zero := d.once("int.zero", func(name string) { d.integer(name, 0) })
		one := d.once("int.one", func(name string) { d.integer(name, 1) })
		last := d.node(name+".last", "", "Cast", []string{d.names.SeqlensK}, onnx.Int("to", int(onnx.Int64)))
		count := d.node(name+".count", "", "Gather", []string{d.inputShape, one}, onnx.Int("axis", 0))
		before := d.node(name+".before", "", "Sub", []string{last, d.node(name+".others", "", "Sub", []string{count, one})})
		steps := d.node(name+".steps", "", "Range", []string{zero, count, one})
		first := d.node(name+".first", "", "Unsqueeze", []string{before, d.once("axis_1", func(name string) { d.constant(name, 1) })})
		d.node(name, "", "Add", []string{first, steps})
	})
}

// integer adds an integer without dimensions to the graph itself.
func (p *plan) integer(name string, value int64) {
	p.constant(name, value)
	p.graph.Initializers[len(p.graph.Initializers)-1].Dims = []int64{}
}

package builder

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// The hybrid graph takes decode rows and a chunk of a prompt in one step: everything but attention runs once over all
// tokens, and each layer has two attention nodes. The rows' keys and values are 8-bit numbers, a quarter of the memory
// to read, which is what attention over long rows costs; the chunk's are float32, since multiplying many queries with
// 8-bit keys is several times slower. Whoever runs the graph rounds a chunk's keys and values into a row's.

// hybridSignature declares the inputs and outputs.
func (p *plan) hybridSignature() {
	n, h := &p.names, p.names.Hybrid
	rows, one := onnx.Named("rows"), onnx.Fixed(1)
	p.graph.Inputs = []onnx.Value{
		{Name: n.InputIDs, Type: onnx.Int64, Shape: []onnx.Dim{onnx.Named("tokens")}},
		{Name: n.SeqlensK, Type: onnx.Int32, Shape: []onnx.Dim{rows}},
		{Name: n.TotalSequenceLength, Type: onnx.Int32},
		{Name: n.LogitsIndices, Type: onnx.Int64, Shape: []onnx.Dim{onnx.Named("wanted")}},
		{Name: h.Split, Type: onnx.Int64, Shape: []onnx.Dim{onnx.Fixed(2)}},
		{Name: h.RowsShape, Type: onnx.Int64, Shape: []onnx.Dim{onnx.Fixed(3)}},
		{Name: h.SeqlensK, Type: onnx.Int32, Shape: []onnx.Dim{one}},
		{Name: h.TotalSequenceLength, Type: onnx.Int32},
	}
	p.declareLogits()
	for i := range p.spec.Layers {
		p.declareCache(onnx.Int8, rows, onnx.Named("cache"), i, n.PastKey, n.PresentKey)
		p.declareCache(onnx.Int8, rows, onnx.Named("cache"), i, n.PastValue, n.PresentValue)
		p.declareCache(onnx.Float, one, onnx.Named("chunk_cache"), i, h.PastKey, h.PresentKey)
		p.declareCache(onnx.Float, one, onnx.Named("chunk_cache"), i, h.PastValue, h.PresentValue)
	}
}

// hybridAttention is attention with two nodes.
func (d *decoder) hybridAttention(qkv string) string {
	h := d.names.Hybrid
	name := d.prefix + "self_attn"
	parts := d.nodes(name+".parts", "", "Split", []string{qkv, h.Split}, []string{name + ".rows", name + ".chunk"},
		onnx.Int("axis", 0))
	in := d.inputs(d.node(name+".rows.qkv", "", "Reshape", []string{parts[0], h.RowsShape}))
	in.keyScale, in.valueScale = fmt.Sprintf(keyScales, d.layer), fmt.Sprintf(valueScales, d.layer)
	rows := d.attend(name+".rows.attention", in)
	first := d.once("first_axis", func(name string) { d.constant(name, 0) })
	chunk := d.attend(name+".chunk.attention", attentionInputs{
		qkv:     d.node(name+".chunk.qkv", "", "Unsqueeze", []string{parts[1], first}),
		seqlens: h.SeqlensK, total: h.TotalSequenceLength,
		pastKey: h.PastKey, pastValue: h.PastValue, presentKey: h.PresentKey, presentValue: h.PresentValue,
	})
	return d.node(name, "", "Concat", []string{
		d.node(name+".rows.flat", "", "Reshape", []string{rows, d.rowShape}),
		d.node(name+".chunk.flat", "", "Reshape", []string{chunk, d.rowShape}),
	}, onnx.Int("axis", 0))
}

// The names of the scales of keys and values, by layer.
const (
	keyScales   = "kv_scales.%d.key"
	valueScales = "kv_scales.%d.value"
)

// headroom is how much larger keys and values may become than any calibration text has shown before they are cut off.
const headroom = 1.1

// storeScales plans the scales of the 8-bit keys and values, one after another, as [model.HybridGraph] says.
func (p *plan) storeScales(seen *calibration) {
	width := p.spec.KVHeads * p.spec.HeadSize
	all := onnx.Tensor{Type: onnx.Float, Dims: int64s([]int{2 * p.spec.Layers, width})}
	size, rowBytes := tensorSize(&all)
	at := p.layout.Place(size)
	p.names.Hybrid.ScalesOffset = at.Offset
	for i := range 2 * p.spec.Layers {
		name, layer := keyScales, i/2
		if i%2 == 1 {
			name = valueScales
		}
		external := *at
		external.Offset, external.Length = at.Offset+int64(i*rowBytes), int64(rowBytes)
		p.graph.Initializers = append(p.graph.Initializers, onnx.Tensor{
			Name: fmt.Sprintf(name, layer), Type: onnx.Float, Dims: int64s([]int{width}), External: &external,
		})
	}
	p.jobs = append(p.jobs, job{
		name: "kv_scales", rows: 2 * p.spec.Layers, outputs: []output{{offset: at.Offset, rowBytes: rowBytes}},
		fill: func(first, rows int, dst [][]byte) error {
			for i := range rows {
				for j, most := range seen.cache[first+i] {
					scale := max(most, 1e-4) * headroom / 127
					binary.LittleEndian.PutUint32(dst[0][i*rowBytes+4*j:], math.Float32bits(scale))
				}
			}
			return nil
		},
	})
}

// hybridNames are the names of a hybrid graph.
func hybridNames(s model.Spec) model.Graph {
	g := model.DefaultGraph(s)
	g.KVType, g.Hybrid = "int8", model.DefaultHybrid(s)
	return g
}

package builder

import (
	"encoding/binary"
	"slices"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// Layout says whose inputs and outputs a graph has.
type Layout string

// The layouts.
const (
	LayoutSluice Layout = "sluice" // those of doc.go
	// LayoutGenAI is onnxruntime-genai's: a mask in place of the lengths, and logits of every token. The graph between is the
	// same.
	LayoutGenAI Layout = "genai"
)

// mask gives a graph that is laid out the inputs and outputs of onnxruntime-genai:
//
//	attention_mask  int64 [B, T]     1 for each token of a row, then 0; its sums are the lengths and T the largest
//	logits          float32 [B, S, vocabulary]
//
// Sluice's own inputs become values that are computed from these.
func (p *plan) mask() {
	n := p.names
	body := p.graph.Nodes
	p.graph.Nodes = nil
	m := &model.MaskedGraph{AttentionMask: "attention_mask", LogitsType: "float32", Shared: true}

	sums := p.node("mask.sum", "", "ReduceSum", []string{m.AttentionMask, p.constant("mask.axis", 1)}, onnx.Int("keepdims", 0))
	last := p.node("mask.last", "", "Sub", []string{sums, p.constant("mask.one", 1)})
	p.nodes("mask.lengths", "", "Cast", []string{last}, []string{n.SeqlensK}, onnx.Int("to", int(onnx.Int32)))
	shape := p.node("mask.shape", "", "Shape", []string{m.AttentionMask})
	width := p.node("mask.width", "", "Gather", []string{shape, p.index("mask.second", 1)})
	p.nodes("mask.total", "", "Cast", []string{width}, []string{n.TotalSequenceLength}, onnx.Int("to", int(onnx.Int32)))
	tokens := p.node("tokens.shape", "", "Shape", []string{n.InputIDs})
	count := p.node("tokens.count", "", "ReduceProd", []string{tokens}, onnx.Int("keepdims", 0))
	p.nodes("tokens.all", "", "Range", []string{p.index("tokens.first", 0), count, p.index("tokens.step", 1)}, []string{n.LogitsIndices})

	rows := n.Logits + ".rows"
	for i := range body {
		for j, name := range body[i].Outputs {
			if name == n.Logits {
				body[i].Outputs[j] = rows
			}
		}
	}
	p.graph.Nodes = append(p.graph.Nodes, body...)
	whole := p.node("logits.shape", "", "Concat", []string{tokens, p.constant("logits.width", int64(p.spec.VocabSize))}, onnx.Int("axis", 0))
	p.nodes("logits.all", "", "Reshape", []string{rows, whole}, []string{n.Logits})

	batch := p.graph.Inputs[0].Shape[0]
	own := []string{n.SeqlensK, n.TotalSequenceLength, n.LogitsIndices}
	p.graph.Inputs = slices.DeleteFunc(p.graph.Inputs, func(v onnx.Value) bool { return slices.Contains(own, v.Name) })
	p.graph.Inputs = slices.Insert(p.graph.Inputs, 1,
		onnx.Value{Name: m.AttentionMask, Type: onnx.Int64, Shape: []onnx.Dim{batch, onnx.Named("total")}})
	for i := range p.graph.Outputs {
		if v := &p.graph.Outputs[i]; v.Name == n.Logits {
			v.Shape = []onnx.Dim{batch, onnx.Named("sequence"), onnx.Fixed(p.spec.VocabSize)}
		}
	}
	p.names.SeqlensK, p.names.TotalSequenceLength, p.names.LogitsIndices, p.names.Masked = "", "", "", m
}

// index adds an integer without dimensions to the graph.
func (p *plan) index(name string, v int64) string {
	p.graph.Initializers = append(p.graph.Initializers, onnx.Tensor{
		Name: name, Type: onnx.Int64, Raw: binary.LittleEndian.AppendUint64(nil, uint64(v)),
	})
	return name
}

package builder

import (
	"fmt"

	"github.com/sluiceml/sluice/inference/model/onnx"
)

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

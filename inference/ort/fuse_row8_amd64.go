package ort

import (
	"encoding/binary"
	"math"
	"slices"

	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
)

// productByOutput replaces a MatMulIntegerToFloat of the form row8 with what rounds its input and what scales its result:
//
//	scale = max(max(|x|) / 127, tiny) for each token
//	y     = (round(x / scale) · W) · weight's scale · scale + bias
//
// The kernels round inputs of 128 with a scale of their own, not all of a token with one, which costs next to nothing and
// loses less.
func (f *fuser) productByOutput(n *modelonnx.Node) {
	const codes, weight, inputScale, scales, zero, weightZero, biases = 0, 1, 2, 3, 4, 5, 6
	w := f.initializers[input(n, weight)]
	if w == nil || len(w.Dims) != 2 || w.Dims[0] < 1 || w.Dims[0] > kernels.MaxSide || w.Dims[1] < 1 || w.Dims[1] > kernels.MaxSide {
		return
	}
	p := fusedProduct{
		in: int(w.Dims[0]), out: int(w.Dims[1]), bits: 8, block: kernels.BlockLength, byOutput: true,
		codes: input(n, weight), scales: input(n, scales),
	}
	if p.in%kernels.BlockLength != 0 || !f.lies(p.codes, modelonnx.Int8, w.Dims[0]*w.Dims[1]) || !f.lies(p.scales, modelonnx.Float, w.Dims[1]) ||
		!f.isFloat(input(n, inputScale), 1) || !f.isTokenZero(input(n, zero)) || input(n, weightZero) != "" || input(n, biases) != "" || len(n.Attributes) != 0 {
		return
	}
	x, scale := f.roundedTokens(input(n, codes), p.in)
	at, mul := f.only(n.Outputs[0], "Mul")
	if x == "" || f.ranks[x] != 2 || mul == nil || !reads(mul, n.Outputs[0], scale) {
		return
	}
	result := mul.Outputs[0]
	if i, add := f.only(result, "Add"); add != nil && reads(add, result, input(add, 1)) && f.isVector(input(add, 1), w.Dims[1]) {
		p.biases, result, at = add.Inputs[1], add.Outputs[0], i
	}
	f.multiply(at, p, x, result)
}

// roundedTokens finds what was rounded to codes, with a scale for each token, and the scales; "" if they were made otherwise.
func (f *fuser) roundedTokens(codes string, width int) (x, scale string) {
	round := f.of(codes, "QuantizeLinear")
	if round == nil || len(round.Inputs) != 3 || len(round.Attributes) != 2 || number(round, "axis", 0) != 1 || number(round, "block_size", 0) != int64(width) {
		return "", ""
	}
	x, scale = round.Inputs[0], round.Inputs[1]
	zeros := f.of(round.Inputs[2], "Expand")
	most := f.of(scale, "Max")
	if zeros == nil || !f.isTokenZero(input(zeros, 0)) || most == nil || len(most.Inputs) != 2 || !f.isTiny(most.Inputs[1]) {
		return "", ""
	}
	step := f.of(most.Inputs[0], "Mul")
	if step == nil || !f.isFloat(input(step, 1), 1.0/127) {
		return "", ""
	}
	largest := f.of(step.Inputs[0], "ReduceMax")
	if largest == nil || len(largest.Inputs) != 2 || !f.holds(largest.Inputs[1], 1) || number(largest, "keepdims", 1) != 1 || number(largest, "noop_with_empty_axes", 0) != 0 {
		return "", ""
	}
	if magnitude := f.of(largest.Inputs[0], "Abs"); magnitude == nil || !reads(magnitude, x) {
		return "", ""
	}
	return x, scale
}

// isVector says whether an initializer is a row of so many floats in a data file. Added to [tokens, n], of other dimensions it may
// be a column, or make three dimensions of two.
func (f *fuser) isVector(name string, n int64) bool {
	return f.lies(name, modelonnx.Float, n) && slices.Equal(f.initializers[name].Dims, []int64{n})
}

// inGraph is the bytes of a scalar within the graph, nil if it is none of the type.
func (f *fuser) inGraph(name string, of modelonnx.DataType) []byte {
	t := f.initializers[name]
	if t == nil || t.Type != of || len(t.Dims) != 0 || t.External != nil || len(t.Raw) != of.Bits()/8 {
		return nil
	}
	return t.Raw
}

// isFloat says whether a value is a number within the graph.
func (f *fuser) isFloat(name string, v float32) bool {
	raw := f.inGraph(name, modelonnx.Float)
	return raw != nil && math.Float32frombits(binary.LittleEndian.Uint32(raw)) == v
}

// isTiny says whether a value is a number within the graph that only keeps scales from being 0.
func (f *fuser) isTiny(name string) bool {
	raw := f.inGraph(name, modelonnx.Float)
	if raw == nil {
		return false
	}
	v := math.Float32frombits(binary.LittleEndian.Uint32(raw))
	return v >= 0 && v <= 1e-6
}

// isTokenZero says whether a value is the code of 0 in inputs that are rounded to unsigned 8 bits.
func (f *fuser) isTokenZero(name string) bool {
	return slices.Equal(f.inGraph(name, modelonnx.Uint8), []byte{128})
}

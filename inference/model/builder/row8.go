package builder

import (
	"encoding/binary"
	"math"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// The form row8: 8-bit weights with a scale for each output, and activations rounded to 8 bits with a scale for each
// token, multiplied as integers. That is what processors multiply fastest (VNNI, AMX) when there are many rows, and, as
// every token has a scale of its own, a token's result does not depend on what else is in the batch. (The scale of a
// whole batch, which DynamicQuantizeLinear takes, does.)

// multiplyPerToken adds the nodes of a product of the form row8:
//
//	scale = max(|x|) / 127 for each token, at least a tiny number
//	y     = (round(x / scale) · W) · weight's scale · scale + bias
func (p *plan) multiplyPerToken(x, result string, w *product, bias string) string {
	codes, scale := p.roundTokens(x, w.in)
	one := p.once("row8.one", func(name string) { p.scalar(name, onnx.Float, math.Float32bits(1)) })
	y := p.node(w.name+".integers", domainMicrosoft, "MatMulIntegerToFloat",
		[]string{codes, w.name + ".weight", one, w.name + ".scales", p.zeroCode()})
	if bias == "" {
		return p.node(result, "", "Mul", []string{y, scale})
	}
	return p.node(result, "", "Add", []string{p.node(w.name+".scaled", "", "Mul", []string{y, scale}), bias})
}

// maxInputs bounds the inputs of a product: 32 bits hold sums of so many products of up to 255 · 127.
const maxInputs = math.MaxInt32 / (255 * 127)

// tokenZero is the code that stands for zero in rounded activations: they are unsigned, as the instructions want one
// side to be.
const tokenZero = 128

// tiny is the least scale of a token, so that one of zeros divides by something.
const tiny = 1e-8

// roundTokens adds what rounds x, [tokens, width], to 8 bits, and returns the codes and the scales [tokens, 1].
func (p *plan) roundTokens(x string, width int) (codes, scale string) {
	scale = p.once(x+".scale", func(name string) {
		axis := p.once("row8.axis", func(name string) { p.constant(name, 1) })
		step := p.once("row8.step", func(name string) { p.scalar(name, onnx.Float, math.Float32bits(1.0/127)) })
		least := p.once("row8.least", func(name string) { p.scalar(name, onnx.Float, math.Float32bits(tiny)) })
		largest := p.node(x+".largest", "", "ReduceMax", []string{p.node(x+".magnitude", "", "Abs", []string{x}), axis},
			onnx.Int("keepdims", 1))
		p.node(name, "", "Max", []string{p.node(x+".step", "", "Mul", []string{largest, step}), least})
	})
	codes = p.once(x+".codes", func(name string) {
		// QuantizeLinear wants as many zero points as scales. All activations of a scope have the same shape.
		zeros := p.once(p.scope+".zeros", func(name string) {
			shape := p.node(name+"_shape", "", "Shape", []string{scale})
			p.node(name, "", "Expand", []string{p.zeroCode(), shape})
		})
		p.node(name, "", "QuantizeLinear", []string{x, scale, zeros}, onnx.Int("axis", 1), onnx.Int("block_size", width))
	})
	return codes, scale
}

// zeroCode is a scalar, so that MatMulIntegerToFloat takes its fast way.
func (p *plan) zeroCode() string {
	return p.once("row8.zero", func(name string) { p.scalar(name, onnx.Uint8, tokenZero) })
}

// scalar adds a number without dimensions to the graph itself: float32 from its bits, or a byte.
func (p *plan) scalar(name string, typ onnx.DataType, bits uint32) {
	raw := binary.LittleEndian.AppendUint32(nil, bits)
	if typ == onnx.Uint8 {
		raw = raw[:1]
	}
	p.graph.Initializers = append(p.graph.Initializers, onnx.Tensor{Name: name, Type: typ, Dims: []int64{}, Raw: raw})
}

// newPerToken is a weight that is rounded by column.
func newPerToken(t model.Tensor) (_ part, bits int) {
	return part{weight: t, perToken: true, bits: 8}, 8
}

// storePerToken plans a weight [in, out] of 8-bit codes, as MatMulIntegerToFloat wants it, and a scale for each of the
// out columns.
func (p *plan) storePerToken(w *product) {
	codes := onnx.Tensor{Name: w.name + ".weight", Type: onnx.Int8, Dims: int64s([]int{w.in, w.out})}
	scales := onnx.Tensor{Name: w.name + ".scales", Type: onnx.Float, Dims: int64s([]int{w.out})}
	codeBytes, _ := tensorSize(&codes)
	scaleBytes, _ := tensorSize(&scales)
	codes.External, scales.External = p.layout.Place(codeBytes), p.layout.Place(scaleBytes)
	p.graph.Initializers = append(p.graph.Initializers, codes, scales)
	p.jobs = append(p.jobs, job{
		name: w.name, rows: w.out, fill: w.fillColumns,
		outputs: []output{
			{offset: codes.External.Offset, rowBytes: w.in, columns: w.out},
			{offset: scales.External.Offset, rowBytes: 4},
		},
	})
}

// fillColumns rounds rows of the checkpoint's weight, which are columns here.
func (w *product) fillColumns(first, rows int, dst [][]byte) error {
	values := make([]float32, w.in)
	return w.each(first, rows, func(t *part, from, at, n int) error {
		for i := range n {
			if err := t.floats(from+i, values); err != nil {
				return err
			}
			scale := roundColumn(dst[0], values, at+i, rows)
			binary.LittleEndian.PutUint32(dst[1][4*(at+i):], math.Float32bits(scale))
		}
		return nil
	})
}

// floats are the values of one row, smoothed.
func (t *part) floats(row int, values []float32) error {
	if err := model.Dequantize(values, t.weight.Type, rowData(t.weight, row, 1)); err != nil {
		return err
	}
	for i, f := range t.columns {
		values[i] *= f
	}
	if t.rows != nil {
		for i := range values {
			values[i] /= t.rows[row]
		}
	}
	if !finite(values) {
		return notFinite(t.weight, row)
	}
	return nil
}

// roundColumn rounds values to a column of dst, whose rows have the width given, and returns its scale: the largest
// magnitude becomes 127.
func roundColumn(dst []byte, values []float32, column, width int) float32 {
	var most float32
	for _, v := range values {
		most = max(most, max(v, -v))
	}
	scale := most / 127
	if scale == 0 { // zeros, or denormal numbers that nothing depends on
		for i := range values {
			dst[i*width+column] = 0
		}
		return 0
	}
	for i, v := range values {
		q := math.RoundToEven(float64(v) / float64(scale))
		dst[i*width+column] = byte(int8(max(-127, min(127, q))))
	}
	return scale
}

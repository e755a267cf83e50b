package builder

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/model/quant"
)

// store plans a product's weight: float32 or binary16 [out, in], or codes [out, in/block, bytes] with scales and perhaps
// offsets [out, in/block].
func (p *plan) store(w *product) {
	switch {
	case w.perToken:
		p.storePerToken(w)
	case w.bits == 0:
		p.storeFloats(w)
	case w.bits == 16:
		p.storeHalves(w)
	default:
		p.storeBlocks(w, w.out, w.in/w.block, w.block*w.bits/8)
	}
}

func (p *plan) storeFloats(w *product) {
	p.rows(tensorPlan{
		name: w.name + ".weight", dims: []int{w.out, w.in},
		fill: func(first, rows int, dst []byte) error {
			return w.each(first, rows, func(t *part, from, at, n int) error {
				return floatRows(dst[4*w.in*at:4*w.in*(at+n)], t.weight, from, n)
			})
		},
	})
}

func (p *plan) storeHalves(w *product) {
	p.rows(tensorPlan{
		name: w.name + ".weight", typ: onnx.Float16, dims: []int{w.out, w.in},
		fill: func(first, rows int, dst []byte) error {
			return w.each(first, rows, func(t *part, from, at, n int) error {
				return halfRows(dst[2*w.in*at:2*w.in*(at+n)], t.weight, from, n)
			})
		},
	})
}

// storeBlocks plans the tensors of a quantised weight; the codes get the dimensions given.
func (p *plan) storeBlocks(w *product, codes ...int) {
	j := job{name: w.name, rows: w.out, fill: w.fillBlocks}
	add := func(suffix string, typ onnx.DataType, dims ...int) {
		t := onnx.Tensor{Name: w.name + suffix, Type: typ, Dims: int64s(dims)}
		size, rowBytes := tensorSize(&t)
		t.External = p.layout.Place(size)
		p.graph.Initializers = append(p.graph.Initializers, t)
		j.outputs = append(j.outputs, output{offset: t.External.Offset, rowBytes: rowBytes})
	}
	add(".weight", onnx.Uint8, codes...)
	add(".scales", onnx.Float, w.out, w.in/w.block)
	if w.offsets {
		add(".offsets", onnx.Float, w.out, w.in/w.block)
	}
	if slices.ContainsFunc(w.parts, func(t part) bool { return t.bits == 4 && !t.exact }) {
		p.quantised[w.name] = w
	}
	p.jobs = append(p.jobs, j)
}

// fillBlocks converts rows of a product to codes, scales and offsets.
func (w *product) fillBlocks(first, rows int, dst [][]byte) error {
	row, values := w.newRow(), make([]float32, w.in)
	return w.each(first, rows, func(t *part, from, at, n int) error {
		for i := range n {
			if err := t.code(from+i, values, row); err != nil {
				return err
			}
			w.put(dst, at+i, row)
		}
		return nil
	})
}

// codedRow is a row of a weight in blocks: values are d·c + o, with a scale d and an offset o for each block of codes c.
type codedRow struct {
	c    []int8
	d, o []float32
}

func (w *product) newRow() codedRow {
	blocks := w.in / w.block
	return codedRow{c: make([]int8, w.in), d: make([]float32, blocks), o: make([]float32, blocks)}
}

// put writes a row as row i of dst: codes, scales and, if the product has them, offsets.
func (w *product) put(dst [][]byte, i int, row codedRow) {
	size := w.in * w.bits / 8
	codes := dst[0][size*i : size*(i+1)]
	if w.bits == 4 {
		pack4(codes, row.c)
	} else {
		pack8(codes, row.c)
	}
	putFloats(dst[1][4*len(row.d)*i:], row.d)
	if w.offsets {
		putFloats(dst[2][4*len(row.o)*i:], row.o)
	}
}

// code converts one row. values is scratch.
func (t *part) code(row int, values []float32, to codedRow) error {
	data := rowData(t.weight, row, 1)
	if t.exact {
		clear(to.o)
		t.carry.row(data, to.c, to.d, to.o)
	} else {
		if err := model.Dequantize(values, t.weight.Type, data); err != nil {
			return err
		}
		if !finite(values) {
			return notFinite(t.weight, row)
		}
		roundRow(values, to, t.bits, t.offset)
	}
	if !finite(to.d) || !finite(to.o) {
		return notFinite(t.weight, row)
	}
	return nil
}

// each calls visit for the parts that rows first to first+rows of the product come from: the part, its first row,
// where that is among the rows asked for, and how many there are.
func (w *product) each(first, rows int, visit func(t *part, from, at, n int) error) error {
	start := 0
	for i := range w.parts {
		t := &w.parts[i]
		height := t.weight.Shape[0]
		from, to := max(first, start), min(first+rows, start+height)
		if from < to {
			if err := visit(t, from-start, from-first, to-from); err != nil {
				return err
			}
		}
		start += height
	}
	return nil
}

// storeBias plans the biases of a product's parts, one after another, with zeros for parts that have none. It returns
// "" if none has.
func (p *plan) storeBias(w *product) string {
	if !slices.ContainsFunc(w.parts, func(t part) bool { return t.bias != nil }) {
		return ""
	}
	name := w.name + ".bias"
	p.rows(tensorPlan{
		name: name, dims: []int{w.out},
		fill: func(first, rows int, dst []byte) error {
			return w.each(first, rows, func(t *part, from, at, n int) error {
				if t.bias == nil {
					clear(dst[4*at : 4*(at+n)])
					return nil
				}
				return floatRows(dst[4*at:4*(at+n)], *t.bias, from, n, t.rows...)
			})
		},
	})
	return name
}

// floatRows writes rows of a tensor as float32. Divisors, if there are any, are those of all rows of a vector.
func floatRows(dst []byte, t model.Tensor, first, rows int, divisors ...float32) error {
	values := make([]float32, len(dst)/4)
	if err := model.Dequantize(values, t.Type, rowData(t, first, rows)); err != nil {
		return err
	}
	if !finite(values) {
		return notFinite(t, first)
	}
	if divisors != nil {
		for i := range values {
			values[i] /= divisors[first+i]
		}
	}
	putFloats(dst, values)
	return nil
}

// halfRows writes rows of a tensor as binary16.
func halfRows(dst []byte, t model.Tensor, first, rows int) error {
	values := make([]float32, len(dst)/2)
	if err := model.Dequantize(values, t.Type, rowData(t, first, rows)); err != nil {
		return err
	}
	if !finite(values) {
		return notFinite(t, first)
	}
	for i, v := range values {
		h := quant.ToFloat16(v)
		if h&0x7c00 == 0x7c00 {
			return &TensorError{Name: t.Name, Reason: fmt.Sprintf("%g is too large for fp16; use another form", v)}
		}
		binary.LittleEndian.PutUint16(dst[2*i:], h)
	}
	return nil
}

// rowData is the bytes of some rows of a tensor, whose first dimension is its rows.
func rowData(t model.Tensor, first, rows int) []byte {
	size := len(t.Data) / t.Shape[0]
	return t.Data[size*first : size*(first+rows)]
}

func putFloats(dst []byte, values []float32) {
	for i, v := range values {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
}

func finite(values []float32) bool {
	for _, v := range values {
		if v-v != 0 { // infinite or not a number
			return false
		}
	}
	return true
}

func notFinite(t model.Tensor, row int) error {
	return &TensorError{Name: t.Name, Reason: fmt.Sprintf("row %d or one soon after has a value that is not finite",
		row)}
}

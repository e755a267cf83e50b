package builder

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// product is one matrix product of the graph: the rows of one or more weights on top of each other, stored alike.
type product struct {
	name    string // the prefix of its tensors' names
	result  string // the name of x·Wᵀ + b; "" is name
	in, out int
	bits    int  // 0: float32
	offsets bool // whether any of the parts has offsets
	parts   []part
}

// accuracyInt8 lets MatMulNBits round activations to 8 bits per block and multiply integers: its fast kernels.
const accuracyInt8 = 4

// part is one of the weights of a product.
type part struct {
	weight model.Tensor
	bias   *model.Tensor
	carry  carrier
	exact  bool // the stored blocks are carried over; else they are rounded
}

// part decides how one weight is stored. wide asks for 8 bits without offsets, which a lookup needs.
func (p *plan) part(t model.Tensor, wide bool) (part, int) {
	if p.form == FormNone {
		return part{weight: t}, 0
	}
	c, exact := carrierOf(t.Type)
	if wide || p.form == FormInt8 {
		exact = exact && !c.offsets
		return part{weight: t, carry: c, exact: exact}, 8
	}
	if !exact {
		return part{weight: t}, 8
	}
	return part{weight: t, carry: c, exact: true}, c.bits
}

// projection multiplies x by weights [out_i, in], adding their biases, and returns one value for each run of
// weights that could be stored, and so multiplied, as one.
type projection struct {
	name    string   // of the product, after the prefix
	result  string   // name of the result; "" is prefix and name
	prefix  string   // of the weights' names
	weights []string // names after the prefix, without ".weight"
	outs    []int    // rows of each
	in      int
	bias    bool // every weight must have a bias; else it may
}

// value is an intermediate result: [tokens, width].
type value struct {
	name  string
	width int
}

// project adds the products of a projection.
func (p *plan) project(x string, j projection) ([]value, error) {
	var products []product
	for i, name := range j.weights {
		t, err := p.tensor(j.prefix+name+".weight", j.outs[i], j.in)
		if err != nil {
			return nil, err
		}
		part, bits := p.part(t, false)
		if part.bias, err = p.bias(j.prefix+name+".bias", j.outs[i], j.bias); err != nil {
			return nil, err
		}
		p.carried.add(&part, bits, j.outs[i]*j.in)
		if n := len(products); n == 0 || products[n-1].bits != bits {
			products = append(products, product{in: j.in, bits: bits})
		}
		last := &products[len(products)-1]
		last.parts = append(last.parts, part)
		last.out += j.outs[i]
		last.offsets = last.offsets || part.exact && part.carry.offsets
	}
	values := make([]value, len(products))
	for i := range products {
		w := &products[i]
		w.name, w.result = j.prefix+j.name, j.result
		if len(products) > 1 {
			w.name += fmt.Sprintf(".%d", i)
		}
		p.store(w)
		values[i] = value{name: p.multiply(x, w, p.storeBias(w)), width: w.out}
	}
	return values, nil
}

// concat joins values side by side.
func (p *plan) concat(name string, values []value) string {
	if len(values) == 1 {
		return values[0].name
	}
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = v.name
	}
	return p.node(name, "", "Concat", names, onnx.Int("axis", 1))
}

func (p *plan) bias(name string, length int, required bool) (*model.Tensor, error) {
	if _, ok := p.source.Tensor(name); !ok && !required {
		return nil, nil //nolint:nilnil // no bias is not an error
	}
	t, err := p.tensor(name, length)
	return &t, err
}

// multiply adds the nodes of one product, whose weights are stored; bias may be "".
func (p *plan) multiply(x string, w *product, bias string) string {
	result := cmp.Or(w.result, w.name)
	if w.bits == 0 {
		inputs := []string{x, w.name + ".weight"}
		if bias != "" {
			inputs = append(inputs, bias)
		}
		return p.node(result, "", "Gemm", inputs, onnx.Int("transB", 1))
	}
	inputs := []string{x, w.name + ".weight", w.name + ".scales"}
	if bias != "" {
		inputs = append(inputs, "", "", bias)
	}
	attributes := []onnx.Attribute{
		onnx.Int("K", w.in), onnx.Int("N", w.out), onnx.Int("bits", w.bits), onnx.Int("block_size", blockLength),
		onnx.Int("accuracy_level", accuracyInt8),
	}
	if !w.offsets {
		return p.node(result, domainMicrosoft, "MatMulNBits", inputs, attributes...)
	}
	y := p.node(w.name+".scaled", domainMicrosoft, "MatMulNBits", inputs, attributes...)
	return p.node(result, "", "Gemm", []string{p.blockSums(x, w.in), w.name + ".offsets", y}, onnx.Int("transB", 1))
}

// blockSums adds the sums of x over each block: [tokens, in/32].
func (p *plan) blockSums(x string, in int) string {
	name := x + ".sums"
	if slices.ContainsFunc(p.graph.Nodes, func(n onnx.Node) bool { return n.Name == name }) {
		return name // another product of x has them
	}
	shape := fmt.Sprintf("blocks_%d", in)
	if !slices.ContainsFunc(p.graph.Initializers, func(t onnx.Tensor) bool { return t.Name == shape }) {
		p.constant(shape, -1, int64(in/blockLength), blockLength)
	}
	const axes = "last_axis"
	if !slices.ContainsFunc(p.graph.Initializers, func(t onnx.Tensor) bool { return t.Name == axes }) {
		p.constant(axes, 2)
	}
	blocks := p.node(x+".blocks", "", "Reshape", []string{x, shape})
	return p.node(name, "", "ReduceSum", []string{blocks, axes}, onnx.Int("keepdims", 0))
}

// store plans a product's weight: float32 [out, in], or codes [out, in/32, bytes] with scales and perhaps offsets
// [out, in/32].
func (p *plan) store(w *product) {
	if w.bits == 0 {
		p.storeFloats(w)
		return
	}
	p.storeBlocks(w, w.out, w.in/blockLength, blockLength*w.bits/8)
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
	add(".scales", onnx.Float, w.out, w.in/blockLength)
	if w.offsets {
		add(".offsets", onnx.Float, w.out, w.in/blockLength)
	}
	p.jobs = append(p.jobs, j)
}

// fillBlocks converts rows of a product to codes, scales and offsets.
func (w *product) fillBlocks(first, rows int, dst [][]byte) error {
	blocks := w.in / blockLength
	codes, values := make([]int8, w.in), make([]float32, w.in)
	scales, offsets := make([]float32, blocks), make([]float32, blocks)
	rowBytes := w.in * w.bits / 8
	return w.each(first, rows, func(t *part, from, at, n int) error {
		clear(offsets)
		for i := range n {
			if err := t.codes(from+i, values, codes, scales, offsets); err != nil {
				return err
			}
			row := dst[0][rowBytes*(at+i) : rowBytes*(at+i+1)]
			if w.bits == 4 {
				pack4(row, codes)
			} else {
				pack8(row, codes)
			}
			putFloats(dst[1][4*blocks*(at+i):], scales)
			if w.offsets {
				putFloats(dst[2][4*blocks*(at+i):], offsets)
			}
		}
		return nil
	})
}

// codes converts one row. values is scratch.
func (t *part) codes(row int, values []float32, c []int8, d, o []float32) error {
	data := rowData(t.weight, row, 1)
	if t.exact {
		t.carry.row(data, c, d, o)
	} else {
		if err := model.Dequantize(values, t.weight.Type, data); err != nil {
			return err
		}
		if !finite(values) {
			return notFinite(t.weight, row)
		}
		roundRow(values, c, d)
	}
	if !finite(d) || !finite(o) {
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
				return floatRows(dst[4*at:4*(at+n)], *t.bias, from, n)
			})
		},
	})
	return name
}

// floatRows writes rows of a tensor as float32.
func floatRows(dst []byte, t model.Tensor, first, rows int) error {
	values := make([]float32, len(dst)/4)
	if err := model.Dequantize(values, t.Type, rowData(t, first, rows)); err != nil {
		return err
	}
	if !finite(values) {
		return notFinite(t, first)
	}
	putFloats(dst, values)
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

// census counts the values of the projections by the form that they are stored in.
type census struct {
	names  []string
	values map[string]int
}

func (c *census) add(t *part, bits, values int) {
	name := "float32"
	switch {
	case bits != 0 && t.exact:
		name = strings.ToLower(t.weight.Type.String())
	case bits != 0:
		name = "int8"
	}
	if c.values == nil {
		c.values = map[string]int{}
	}
	if c.values[name] == 0 {
		c.names = append(c.names, name)
	}
	c.values[name] += values
}

// name lists the forms, that of most values first.
func (c *census) name() string {
	names := slices.Clone(c.names)
	slices.SortStableFunc(names, func(a, b string) int { return c.values[b] - c.values[a] })
	return strings.Join(names, "+")
}

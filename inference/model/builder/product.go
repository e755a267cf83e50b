package builder

import (
	"cmp"
	"fmt"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// product is one matrix product of the graph: the rows of one or more weights on top of each other, stored alike.
type product struct {
	name    string // the prefix of its tensors' names
	result  string // the name of x·Wᵀ + b; "" is name
	in, out int
	bits    int  // 0: float32; 16: binary16
	block   int  // values of a row that share a scale
	offsets bool // whether any of the parts has offsets
	// perToken is the form row8: bits is 8, and the weight is stored as [in, out] with a scale for each output.
	perToken bool
	parts    []part
}

// part is one of the weights of a product.
type part struct {
	weight model.Tensor
	bias   *model.Tensor
	carry  carrier
	exact  bool // the stored blocks are carried over; else they are rounded
	// bits and offset are how values are rounded.
	bits   int
	offset bool

	// What smoothing does to the weight: columns are multiplied, rows and the bias are divided. nil: nothing.
	columns, rows []float32
	perToken      bool
}

// part decides how one weight is stored. wide asks for 8 bits without offsets, which a lookup needs.
func (p *plan) part(t model.Tensor, form Form, wide bool) (part, int) {
	if form == FormNone {
		return part{weight: t}, 0
	}
	if form == FormFP16 {
		return part{weight: t}, 16
	}
	c, exact := carrierOf(t.Type)
	switch {
	case wide || form == FormInt8:
		exact = exact && !c.offsets && (wide || p.block == blockLength)
		return part{weight: t, carry: c, exact: exact, bits: 8}, 8
	case form == FormInt4:
		exact = exact && c.bits == 4 && (p.asymmetric || !c.offsets) && p.block == blockLength
		return part{weight: t, carry: c, exact: exact, bits: 4, offset: p.asymmetric}, 4
	case !exact:
		return part{weight: t, bits: 8}, 8
	}
	return part{weight: t, carry: c, exact: true}, c.bits
}

// blockOf is the length of a form's blocks.
func (p *plan) blockOf(form Form) int {
	if form == FormInt4 || form == FormInt8 {
		return p.block
	}
	return blockLength
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
	form := p.formOf(j.prefix + j.name)
	for i, name := range j.weights {
		t, err := p.tensor(j.prefix+name+".weight", j.outs[i], j.in)
		if err != nil {
			return nil, err
		}
		perToken := form == FormRow8
		part, bits := p.part(t, form, false)
		if perToken {
			part, bits = newPerToken(t)
		}
		part.columns, part.rows = p.smooth.columns[j.prefix+j.name], p.smooth.rows[j.prefix+name]
		if part.bias, err = p.bias(j.prefix+name+".bias", j.outs[i], j.bias); err != nil {
			return nil, err
		}
		p.carried.add(&part, bits, j.outs[i]*j.in)
		if n := len(products); n == 0 || products[n-1].bits != bits {
			products = append(products, product{in: j.in, bits: bits, block: p.blockOf(form), perToken: perToken})
		}
		last := &products[len(products)-1]
		last.parts = append(last.parts, part)
		last.out += j.outs[i]
		last.offsets = last.offsets || part.exact && part.carry.offsets || part.offset
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
	if w.perToken {
		return p.multiplyPerToken(x, result, w, bias)
	}
	if w.bits == 0 || w.bits == 16 {
		weight := w.name + ".weight"
		if w.bits == 16 { // ONNX Runtime casts a constant once, when it loads the model
			weight = p.once(w.name+".float", func(name string) {
				p.node(name, "", "Cast", []string{weight}, onnx.Int("to", int(onnx.Float)))
			})
		}
		inputs := []string{x, weight}
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
		onnx.Int("K", w.in), onnx.Int("N", w.out), onnx.Int("bits", w.bits), onnx.Int("block_size", w.block),
		onnx.Int("accuracy_level", p.accuracy),
	}
	if !w.offsets {
		return p.node(result, domainMicrosoft, "MatMulNBits", inputs, attributes...)
	}
	y := p.node(w.name+".scaled", domainMicrosoft, "MatMulNBits", inputs, attributes...)
	return p.node(result, "", "Gemm", []string{p.blockSums(x, w.in, w.block), w.name + ".offsets", y}, onnx.Int("transB", 1))
}

// blockSums adds the sums of x over each block: [tokens, in/block].
func (p *plan) blockSums(x string, in, block int) string {
	return p.once(x+".sums", func(name string) {
		shape := p.once(fmt.Sprintf("blocks_%d", in), func(name string) {
			p.constant(name, -1, int64(in/block), int64(block))
		})
		axes := p.once("last_axis", func(name string) { p.constant(name, 2) })
		blocks := p.node(x+".blocks", "", "Reshape", []string{x, shape})
		p.node(name, "", "ReduceSum", []string{blocks, axes}, onnx.Int("keepdims", 0))
	})
}

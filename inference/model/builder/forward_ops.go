package builder

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/sluiceml/sluice/inference/model/builder/internal/matrix"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// node computes one node's results. A new operator of an architecture's graph needs a case here before that architecture can be
// calibrated.
func (f *forward) node(ctx context.Context, n *onnx.Node) error {
	switch n.Op {
	case "Shape", "Reshape", "Concat", "Gather", "Split", "Cast":
		return f.arrange(n)
	case "Gemm":
		return f.gemm(ctx, n)
	case "SimplifiedLayerNormalization", "LayerNormalization":
		return f.norm(n, 1)
	case "SkipSimplifiedLayerNormalization", "SkipLayerNormalization":
		return f.norm(n, 2)
	case "GroupQueryAttention":
		return f.attention(ctx, n)
	case "RotaryEmbedding":
		return f.rotary(n)
	case "Add", "Sub", "Mul", "Div":
		return f.binary(n)
	case "QuickGelu", "Gelu", "FastGelu", "BiasGelu", "Sigmoid", "Tanh", "Relu":
		return f.unary(ctx, n)
	default:
		return fmt.Errorf("calibration does not know the operator %s", n.Op)
	}
}

// arrange moves values about without computing any.
func (f *forward) arrange(n *onnx.Node) error {
	if n.Op == "Gather" && f.values[n.Inputs[0]].floats == nil {
		return f.lookup(n)
	}
	x, err := f.value(n, 0)
	if err != nil {
		return err
	}
	switch n.Op {
	case "Shape": // only ever of the tokens: all texts look like one row of a batch
		f.values[n.Outputs[0]] = array{ints: []int64{1, int64(len(x.ints))}}
		return nil
	case "Cast", "Gather": // a Gather of activations takes those whose logits are wanted: all
		f.values[n.Outputs[0]] = x
		return nil
	case "Reshape":
		shape, err := f.value(n, 1)
		if err != nil {
			return err
		}
		if x.floats != nil {
			if x.width = int(shape.ints[len(shape.ints)-1]); x.width < 1 {
				return errors.New("calibration does not know a Reshape to rows of any length")
			}
		}
		f.values[n.Outputs[0]] = x
		return nil
	case "Split":
		return f.split(n, x)
	}
	return f.concat(n)
}

// lookup takes rows of a table.
func (f *forward) lookup(n *onnx.Node) error {
	ids, err := f.value(n, 1)
	if err != nil {
		return err
	}
	t := f.inits[n.Inputs[0]]
	if t == nil || len(t.Dims) != 2 {
		return fmt.Errorf("its table %s is not known", n.Inputs[0])
	}
	out := array{width: int(t.Dims[1])}
	for _, id := range ids.ints {
		row, err := f.rows(t.Name, int(id), 1)
		if err != nil {
			return err
		}
		out.floats = append(out.floats, row...)
	}
	f.values[n.Outputs[0]] = out
	return nil
}

// split cuts the columns into equal parts, or into those that an input says.
func (f *forward) split(n *onnx.Node, x array) error {
	widths := make([]int, len(n.Outputs))
	sizes, err := f.optional(n, 1)
	if err != nil {
		return err
	}
	for i := range widths {
		widths[i] = x.width / len(widths)
		if sizes.ints != nil {
			widths[i] = int(sizes.ints[i])
		}
	}
	from := 0
	for i, name := range n.Outputs {
		m := matrix.New(len(x.floats)/x.width, widths[i])
		for r := range m.Rows {
			copy(m.Row(r), x.floats[r*x.width+from:])
		}
		f.values[name] = array{floats: m.Data, width: widths[i]}
		from += widths[i]
	}
	return nil
}

// concat puts columns side by side, or small lists of integers.
func (f *forward) concat(n *onnx.Node) error {
	var all []array
	var out array
	for i := range n.Inputs {
		v, err := f.value(n, i)
		if err != nil {
			return err
		}
		all = append(all, v)
		out.ints = append(out.ints, v.ints...)
		out.width += v.width
	}
	if out.width > 0 {
		rows := len(all[0].floats) / all[0].width
		for r := range rows {
			for _, v := range all {
				out.floats = append(out.floats, v.floats[r*v.width:(r+1)*v.width]...)
			}
		}
	}
	f.values[n.Outputs[0]] = out
	return nil
}

// gemm multiplies activations with weights and adds a bias.
func (f *forward) gemm(ctx context.Context, n *onnx.Node) error {
	x, err := f.value(n, 0)
	if err != nil {
		return err
	}
	bias, err := f.optional(n, 2)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(n.Inputs[1], ".weight")
	w, err := f.weights(n, x.width)
	if err != nil {
		return err
	}
	f.seeResidual(name, x.matrix())
	if f.observer.product != nil {
		if w, err = f.observer.product(ctx, name, x.matrix(), w); err != nil {
			return err
		}
	}
	y, err := f.multiply(ctx, x.matrix(), w)
	if err != nil {
		return err
	}
	if bias.floats != nil {
		for r := range y.Rows {
			add(y.Row(r), bias.floats)
		}
	}
	f.values[n.Outputs[0]] = array{floats: y.Data, width: w.out}
	return nil
}

func add(x, y []float32) {
	for i := range x {
		x[i] += y[i]
	}
}

// norm is the layer norm of the sum of one or two inputs: less its mean unless it is simplified, divided by its deviation,
// times a weight and plus a bias. It takes the width of its rows from the weight.
func (f *forward) norm(n *onnx.Node, inputs int) error {
	x, err := f.value(n, 0)
	if err != nil {
		return err
	}
	sum := x.floats
	if inputs == 2 {
		branch, err := f.value(n, 1)
		if err != nil {
			return err
		}
		sum = append([]float32(nil), sum...)
		add(sum, branch.floats)
	}
	weight, err := f.value(n, inputs)
	if err != nil {
		return err
	}
	bias, err := f.optional(n, inputs+1)
	if err != nil {
		return err
	}
	out := make([]float32, len(sum))
	epsilon := float64(fraction(n, "epsilon", 1e-5))
	width := len(weight.floats)
	simplified := strings.Contains(n.Op, "Simplified")
	for at := 0; at < len(sum); at += width {
		normRow(out[at:at+width], sum[at:at+width], weight.floats, bias.floats, epsilon, simplified)
	}
	f.values[n.Outputs[0]] = array{floats: out, width: x.width}
	if last := len(n.Outputs) - 1; last > 0 && n.Outputs[last] != "" {
		f.values[n.Outputs[last]] = array{floats: sum, width: x.width}
	}
	f.seeResidual(n.Name, matrix.Of(sum, x.width))
	return nil
}

func normRow(out, x, weight, bias []float32, epsilon float64, simplified bool) {
	var mean, squares float64
	if !simplified {
		for _, v := range x {
			mean += float64(v)
		}
		mean /= float64(len(x))
	}
	for _, v := range x {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	scale := 1 / math.Sqrt(squares/float64(len(x))+epsilon)
	for i, v := range x {
		out[i] = float32((float64(v)-mean)*scale) * weight[i]
		if bias != nil {
			out[i] += bias[i]
		}
	}
}

// seeResidual shows the observer the hidden states that a layer begins with: its first norm reads them, or the product of
// its attention if it has none. Those that the last norm of all reads are what the last layer ends with.
func (f *forward) seeResidual(name string, x matrix.Matrix) {
	begins := name == "model.norm"
	for _, first := range []string{"input_layernorm", "self_attn.qkv_proj"} {
		begins = begins || name == fmt.Sprintf("model.layers.%d.%s", f.begun, first)
	}
	if !begins {
		return
	}
	f.begun++
	if f.observer.residual != nil {
		f.observer.residual(f.begun-1, x)
	}
}

// binary combines values of the same shape, or a value with a number or a row.
func (f *forward) binary(n *onnx.Node) error {
	a, err := f.value(n, 0)
	if err != nil {
		return err
	}
	b, err := f.value(n, 1)
	if err != nil {
		return err
	}
	x, y := a.floats, b.floats
	size := max(len(x), len(y))
	if x == nil || y == nil || size%len(x) != 0 || size%len(y) != 0 {
		return errors.New("its inputs do not fit together")
	}
	out := array{floats: make([]float32, size), width: a.width}
	if len(y) > len(x) {
		out.width = b.width
	}
	for i := range out.floats {
		v, w := x[i%len(x)], y[i%len(y)]
		switch n.Op {
		case "Add":
			v += w
		case "Sub":
			v -= w
		case "Mul":
			v *= w
		default:
			v /= w
		}
		out.floats[i] = v
	}
	f.values[n.Outputs[0]] = out
	return nil
}

// unary applies a function to every number.
func (f *forward) unary(ctx context.Context, n *onnx.Node) error {
	x, err := f.value(n, 0)
	if err != nil {
		return err
	}
	bias, err := f.optional(n, 1) // of FastGelu and BiasGelu
	if err != nil {
		return err
	}
	apply, err := activation(n)
	if err != nil {
		return err
	}
	out := array{floats: make([]float32, len(x.floats)), width: x.width}
	const step = 1 << 14
	err = parallel(ctx, f.workers, len(out.floats), step, func(first, count int) error {
		for i := first; i < first+count; i++ {
			v := x.floats[i]
			if bias.floats != nil {
				v += bias.floats[i%len(bias.floats)]
			}
			out.floats[i] = float32(apply(float64(v)))
		}
		return nil
	})
	f.values[n.Outputs[0]] = out
	return err
}

// activation is the function of an operator.
func activation(n *onnx.Node) (func(float64) float64, error) {
	switch n.Op {
	case "QuickGelu":
		alpha := float64(fraction(n, "alpha", 1.702))
		return func(x float64) float64 { return x / (1 + math.Exp(-alpha*x)) }, nil
	case "Sigmoid":
		return func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, nil
	case "Tanh":
		return math.Tanh, nil
	case "Relu":
		return func(x float64) float64 { return max(0, x) }, nil
	case "FastGelu":
		return geluTanh, nil
	case "BiasGelu":
		return geluErf, nil
	case "Gelu":
		if text(n, "approximate") == "tanh" {
			return geluTanh, nil
		}
		return geluErf, nil
	}
	return nil, fmt.Errorf("calibration does not know the operator %s", n.Op)
}

func geluTanh(x float64) float64 {
	return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

func geluErf(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }

// fraction is a float attribute of a node, number an integer one, and text a string.
func fraction(n *onnx.Node, name string, otherwise float32) float32 {
	for _, a := range n.Attributes {
		if a.Name == name && a.Kind == onnx.KindFloat {
			return a.Float
		}
	}
	return otherwise
}

func number(n *onnx.Node, name string, otherwise int) int {
	for _, a := range n.Attributes {
		if a.Name == name && a.Kind == onnx.KindInt {
			return int(a.Int)
		}
	}
	return otherwise
}

func text(n *onnx.Node, name string) string {
	for _, a := range n.Attributes {
		if a.Name == name && a.Kind == onnx.KindString {
			return a.Text
		}
	}
	return ""
}

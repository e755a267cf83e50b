package builder

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder/internal/matrix"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// forward runs a model over some texts in float32 and in Go, without ONNX Runtime: it follows the graph that FormNone
// would write, so that it knows every architecture that the package can build, and reads weights from the checkpoint row by
// row. It holds the activations of all tokens, but only those that a later node reads.
//
// All activations are matrices with a row for each token of all texts, one after another; only attention cares where a
// text begins.
type forward struct {
	plan    *plan
	texts   [][]uint32
	tokens  int
	workers int

	jobs   map[string]*job         // what fills an initializer of the data file
	inits  map[string]*onnx.Tensor // all initializers
	values map[string]array
	uses   map[string]int // how many nodes still read a value
	begun  int            // layers whose beginning has been seen

	observer observer
}

// observer sees what a run computes. Each of the functions may be nil.
type observer struct {
	// product sees a product before it is computed: its name, and its input, a row for each token. The weights that it
	// returns are multiplied in their place.
	product func(ctx context.Context, name string, x matrix.Matrix, w weightRows) (weightRows, error)
	// cache sees the keys and values of a layer's attention, a row for each token, the keys not yet turned by their
	// positions.
	cache func(layer int, keys, values matrix.Matrix)
	// residual sees the hidden states that a layer begins with, and after the last layer those that it ends with.
	residual func(layer int, x matrix.Matrix)
}

// weightRows are the rows of a product's weights.
type weightRows struct {
	out, in int
	// read gives some rows, one after another. Calls may run at the same time.
	read func(first, rows int) ([]float32, error)
}

// array is an intermediate result: numbers of a shape, or a row for each token.
type array struct {
	floats []float32
	width  int // of a row
	ints   []int64
}

func (a array) matrix() matrix.Matrix { return matrix.Of(a.floats, a.width) }

// errNoTokens says that there is nothing to calibrate with.
var errNoTokens = errors.New("no calibration text has a token")

// newForward lays out the model of a checkpoint to run over texts, which must not be longer than its context.
func newForward(source model.Source, texts [][]uint32, opts *Options) (*forward, error) {
	p, err := newPlan(source, &Options{Quantize: FormNone, ContextLength: opts.ContextLength})
	if err != nil {
		return nil, err
	}
	f := &forward{
		plan: p, workers: opts.workers(), jobs: map[string]*job{}, inits: map[string]*onnx.Tensor{}, values: map[string]array{},
		uses: map[string]int{},
	}
	for _, text := range texts {
		if len(text) == 0 {
			continue
		}
		if len(text) > p.spec.ContextLength {
			return nil, fmt.Errorf("a calibration text has %d tokens, more than the model's context of %d", len(text), p.spec.ContextLength)
		}
		f.texts = append(f.texts, text)
		f.tokens += len(text)
	}
	if f.tokens == 0 {
		return nil, errNoTokens
	}
	for i := range p.jobs {
		f.jobs[p.jobs[i].name] = &p.jobs[i]
	}
	for i := range p.graph.Initializers {
		f.inits[p.graph.Initializers[i].Name] = &p.graph.Initializers[i]
	}
	for _, n := range p.graph.Nodes {
		for _, name := range n.Inputs {
			f.uses[name]++
		}
	}
	return f, nil
}

// run follows the graph and gives the value called last: one of its nodes' results.
func (f *forward) run(ctx context.Context, last string) (matrix.Matrix, error) {
	ids := make([]int64, 0, f.tokens)
	for _, text := range f.texts {
		for _, id := range text {
			if int(id) >= f.plan.spec.VocabSize {
				return matrix.Matrix{}, fmt.Errorf("calibration token %d is not in the vocabulary", id)
			}
			ids = append(ids, int64(id))
		}
	}
	f.values[f.plan.names.InputIDs] = array{ints: ids}
	if f.uses[positionsValue] > 0 {
		f.values[positionsValue] = array{ints: f.positions()}
	}
	f.uses[last]++
	for i := range f.plan.graph.Nodes {
		n := &f.plan.graph.Nodes[i]
		if err := ctx.Err(); err != nil {
			return matrix.Matrix{}, err
		}
		if placed(n) {
			continue
		}
		if err := f.node(ctx, n); err != nil {
			return matrix.Matrix{}, fmt.Errorf("calibrate: %s: %w", n.Name, err)
		}
		if slices.Contains(n.Outputs, last) {
			return f.values[last].matrix(), nil
		}
		for _, name := range n.Inputs {
			if f.uses[name]--; f.uses[name] == 0 {
				delete(f.values, name)
			}
		}
	}
	return matrix.Matrix{}, fmt.Errorf("calibrate: the graph has no %s", last)
}

// positionsValue is what the graph calls the tokens' positions. It works them out from the lengths of a batch's rows,
// which the texts are not, so that part of it is left out.
const positionsValue = "positions"

// placed says whether a node only helps to make the positions.
func placed(n *onnx.Node) bool {
	return n.Name == positionsValue || strings.HasPrefix(n.Name, positionsValue+".") && n.Name != positionsValue+".flat"
}

// positions are those of all tokens in their texts.
func (f *forward) positions() []int64 {
	all := make([]int64, 0, f.tokens)
	for _, text := range f.texts {
		for i := range text {
			all = append(all, int64(i))
		}
	}
	return all
}

// runToHead follows the graph up to the head, and gives what the head multiplies: the hidden states and its weights.
func (f *forward) runToHead(ctx context.Context) (hidden matrix.Matrix, head weightRows, err error) {
	nodes := f.plan.graph.Nodes
	for i := len(nodes) - 1; i >= 0; i-- {
		if n := &nodes[i]; n.Op == "Gemm" {
			if hidden, err = f.run(ctx, n.Inputs[0]); err != nil {
				return hidden, head, err
			}
			head, err = f.weights(n, hidden.Cols)
			return hidden, head, err
		}
	}
	return hidden, head, errors.New("calibrate: the graph has no head")
}

// weights are those of a product.
func (f *forward) weights(n *onnx.Node, in int) (weightRows, error) {
	t := f.inits[n.Inputs[1]]
	if t == nil || len(t.Dims) != 2 || int(t.Dims[1]) != in {
		return weightRows{}, fmt.Errorf("its weights %s do not fit", n.Inputs[1])
	}
	return weightRows{
		out: int(t.Dims[0]), in: in,
		read: func(first, rows int) ([]float32, error) { return f.rows(t.Name, first, rows) },
	}, nil
}

// all reads every row, for what that does besides.
func (w weightRows) all(ctx context.Context, workers int) error {
	return parallel(ctx, workers, w.out, productRows, func(first, n int) error {
		_, err := w.read(first, n)
		return err
	})
}

// value is an input of a node.
func (f *forward) value(n *onnx.Node, i int) (array, error) {
	if i >= len(n.Inputs) || n.Inputs[i] == "" {
		return array{}, fmt.Errorf("it has no input %d", i)
	}
	name := n.Inputs[i]
	if v, ok := f.values[name]; ok {
		return v, nil
	}
	t := f.inits[name]
	switch {
	case t == nil:
		return array{}, fmt.Errorf("its input %s is not known", name)
	case t.Raw != nil && t.Type == onnx.Int64:
		v := array{ints: make([]int64, len(t.Raw)/8)}
		for j := range v.ints {
			v.ints[j] = int64(binary.LittleEndian.Uint64(t.Raw[8*j:]))
		}
		return v, nil
	case t.Raw != nil && t.Type == onnx.Float:
		v := array{floats: readFloats(t.Raw)}
		v.width = len(v.floats)
		return v, nil
	case t.External != nil && t.Type == onnx.Float && len(t.Dims) == 1:
		floats, err := f.rows(name, 0, int(t.Dims[0]))
		return array{floats: floats, width: len(floats)}, err
	}
	return array{}, fmt.Errorf("its input %s is of a kind that is not known", name)
}

// optional is an input that may be left out: its floats are nil then.
func (f *forward) optional(n *onnx.Node, i int) (array, error) {
	if i >= len(n.Inputs) || n.Inputs[i] == "" {
		return array{}, nil
	}
	return f.value(n, i)
}

// rows reads some rows of an initializer of the data file.
func (f *forward) rows(name string, first, rows int) ([]float32, error) {
	j, ok := f.jobs[name]
	if !ok {
		if j, ok = f.jobs[strings.TrimSuffix(name, ".weight")]; !ok {
			return nil, fmt.Errorf("nothing fills %s", name)
		}
	}
	dst := make([]byte, rows*j.rowBytes())
	if err := j.fill(first, rows, [][]byte{dst}); err != nil {
		return nil, err
	}
	return readFloats(dst), nil
}

func readFloats(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// parallel runs do for n things, up to step of them at a time.
func parallel(ctx context.Context, workers, n, step int, do func(first, n int) error) error {
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for first := 0; first < n && working.Err() == nil; first += step {
		group.Go(func() error {
			if err := working.Err(); err != nil {
				return err
			}
			return do(first, min(step, n-first))
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// productRows is how many rows of weights are read and multiplied at a time.
const productRows = 128

// multiply is x·Wᵀ.
func (f *forward) multiply(ctx context.Context, x matrix.Matrix, w weightRows) (matrix.Matrix, error) {
	y := matrix.New(x.Rows, w.out)
	err := parallel(ctx, f.workers, w.out, productRows, func(first, n int) error {
		rows, err := w.read(first, n)
		if err != nil {
			return err
		}
		matrix.AddProduct(y.Slice(0, x.Rows, first, n), x, matrix.Of(rows, w.in).T())
		return nil
	})
	return y, err
}

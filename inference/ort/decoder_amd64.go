package ort

import (
	"slices"

	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
)

// decoder is what lies between a fused graph's embeddings and its logits, or its hidden states where it gives these too, as
// one node. Nodes of their own cost a step of
// one row a third of its time: each is called, given memory and waited for by all threads.
type decoder struct {
	nodes        []modelonnx.Node // of the graph, the one among them
	node         *modelonnx.Node
	initializers []modelonnx.Tensor // that the nodes read

	in, out int
	widths  []int // of buffers
	actions []decoderAction
}

// decoderAction is an action of a program, but for what it reads of the model.
type decoderAction struct {
	action  kernels.Action
	weight  string // initializer of a norm
	product int    // of the graph's, of a multiplication
}

// decoded is a value within a decoder.
type decoded struct {
	width  int
	wanted bool // its rows are those of the tokens that are wanted
	buffer int
	order  int // of the values that nodes make

	chosen  bool // of rows of all tokens, only those of wanted ones are read
	queries int  // so it is of so many columns, the first ones

	within *decoded // what a product's result is a part of, from a column on; nil: it is whole
	column int
}

// decode makes one node of all nodes from the first norm or product on, as far as it knows them. nil if that leaves out some
// layer, or if more than one result is read by what is left.
func (f *fuser) decode() *decoder {
	g := &f.fused.model.Graph
	t := &translation{fuser: f, values: map[string]*decoded{}, used: map[string]int{}, readers: readers(g)}
	first := slices.IndexFunc(g.Nodes, func(n modelonnx.Node) bool {
		return is(&n, "SimplifiedLayerNormalization") || is(&n, kernels.BlockMatMul)
	})
	if first < 0 {
		return nil
	}
	from, width := input(&g.Nodes[first], 0), f.normWidth(input(&g.Nodes[first], 1))
	if is(&g.Nodes[first], kernels.BlockMatMul) {
		width = f.fused.products[t.product(&g.Nodes[first])].in
	}
	if from == "" || width == 0 {
		return nil
	}
	t.values[from] = &decoded{width: width, buffer: kernels.InputBuffer}
	end := first
	for ; end < len(g.Nodes) && t.knows(&g.Nodes[end]); end++ {
		for _, name := range g.Nodes[end].Inputs {
			t.used[name] = end
		}
	}
	out := liveOut(g, first, end)
	if v := t.values[out]; t.layers != len(f.fused.layers) || v == nil || !v.wanted {
		return nil
	}
	d := &decoder{in: width, out: t.values[out].width}
	t.values[out].buffer = kernels.OutputBuffer
	t.leaveOut(g.Nodes[first:end])
	for i := first; i < end; i++ {
		t.translate(d, i, &g.Nodes[i])
	}
	d.nodes = slices.Concat(g.Nodes[:first], []modelonnx.Node{{
		Name: "decoder", Domain: kernels.Domain, Op: kernels.Decoder,
		Inputs: []string{from, f.about.LogitsIndices}, Outputs: []string{out},
	}}, g.Nodes[end:])
	d.node = &d.nodes[first]
	needed := map[string]bool{}
	for i := range d.nodes {
		for _, name := range d.nodes[i].Inputs {
			needed[name] = true
		}
	}
	d.initializers = slices.DeleteFunc(slices.Clone(g.Initializers), func(t modelonnx.Tensor) bool { return !needed[t.Name] })
	return d
}

// liveOut is the value that nodes from first to before end make and that is read elsewhere, "" unless it is one.
func liveOut(g *modelonnx.Graph, first, end int) string {
	outside := map[string]bool{}
	for i := range g.Nodes {
		for _, name := range g.Nodes[i].Inputs {
			outside[name] = outside[name] || i < first || i >= end
		}
	}
	for _, o := range g.Outputs {
		outside[o.Name] = true
	}
	found := ""
	for i := first; i < end; i++ {
		for _, name := range g.Nodes[i].Outputs {
			if !outside[name] || name == "" {
				continue
			}
			if found != "" {
				return ""
			}
			found = name
		}
	}
	return found
}

// translation makes a decoder's actions.
type translation struct {
	*fuser
	values map[string]*decoded
	used   map[string]int // the last node that reads a value
	layers int
	free   []freeBuffer

	readers map[string]int // how often a value is read, also by what is not translated
}

// readers counts how often each value of a graph is read.
func readers(g *modelonnx.Graph) map[string]int {
	n := map[string]int{}
	for i := range g.Nodes {
		for _, name := range g.Nodes[i].Inputs {
			n[name]++
		}
	}
	for _, o := range g.Outputs {
		n[o.Name]++
	}
	return n
}

// freeBuffer is a buffer that nothing reads any more.
type freeBuffer struct {
	buffer, width int
	wanted        bool
}

// normWidth is the length of a norm's weight in the data file, 0 if it is none.
func (f *fuser) normWidth(name string) int {
	t := f.initializers[name]
	if t == nil || len(t.Dims) != 1 || t.Dims[0] < 1 || t.Dims[0] > kernels.MaxSide || t.Dims[0]%kernels.RowUnit != 0 || !f.lies(name, modelonnx.Float, t.Dims[0]) {
		return 0
	}
	return int(t.Dims[0])
}

// unknownOfNorm says whether a norm has an attribute that decoders do not look at.
func unknownOfNorm(a modelonnx.Attribute) bool {
	switch a.Name {
	case "epsilon":
		return a.Kind != modelonnx.KindFloat
	case "axis":
		return a.Kind != modelonnx.KindInt || a.Int != -1
	case "stash_type":
		return a.Kind != modelonnx.KindInt || a.Int != 1
	}
	return true
}

// knows says whether a node can be an action, and notes what it makes. A node that it does not know may leave notes too: nothing
// is made of the nodes from there on.
func (t *translation) knows(n *modelonnx.Node) bool {
	x := t.values[input(n, 0)]
	if x == nil {
		return false
	}
	makes := func(i, width int, wanted bool) bool {
		name := ""
		if i < len(n.Outputs) {
			name = n.Outputs[i]
		}
		if name == "" {
			return i > 0 // actions have a result
		}
		if t.values[name] != nil {
			return false // the buffer of the one would be of the other's size
		}
		t.values[name] = &decoded{width: width, wanted: wanted, order: len(t.values)}
		return true
	}
	whole := x.width%kernels.RowUnit == 0 // products give rows of any width, sums and norms take whole vectors
	alike := func(i int) bool {
		y := t.values[input(n, i)]
		return y != nil && y.width == x.width && y.wanted == x.wanted
	}
	switch {
	case is(n, "SimplifiedLayerNormalization"):
		return whole && len(n.Inputs) == 2 && len(n.Outputs) == 1 && t.normWidth(n.Inputs[1]) == x.width &&
			!slices.ContainsFunc(n.Attributes, unknownOfNorm) && makes(0, x.width, x.wanted)
	case is(n, "SkipSimplifiedLayerNormalization"):
		const sum = 3
		return whole && len(n.Inputs) == 3 && alike(1) && t.normWidth(n.Inputs[2]) == x.width && !slices.ContainsFunc(n.Attributes, unknownOfNorm) &&
			!slices.ContainsFunc(n.Outputs[1:min(sum, len(n.Outputs))], func(name string) bool { return name != "" }) &&
			makes(0, x.width, x.wanted) && makes(sum, x.width, x.wanted)
	case is(n, "Add"):
		return whole && len(n.Inputs) == 2 && len(n.Attributes) == 0 && alike(1) && makes(0, x.width, x.wanted)
	case is(n, "Gather"):
		return whole && !x.wanted && reads(n, n.Inputs[0], t.about.LogitsIndices) && number(n, "axis", 0) == 0 && makes(0, x.width, true)
	case is(n, kernels.BlockMatMul):
		p := &t.fused.products[t.product(n)]
		width := p.out
		if p.gate != kernels.NoGate {
			width /= 2
		}
		return p.in == x.width && makes(0, width, x.wanted)
	case is(n, "Concat"):
		width := t.joined(n)
		return width > 0 && makes(0, width, x.wanted) && t.join(n)
	case is(n, kernels.SlotAttention):
		queries := t.fused.heads * t.about.HeadSize
		known := !x.wanted && x.width == queries+2*t.about.KVHeads*t.about.HeadSize && makes(0, queries, false)
		if known {
			t.layers++
		}
		return known
	}
	return false
}

// joined is the width of products that a node puts side by side in the order in which they are made, and that nothing else
// reads; 0: it does something else.
func (t *translation) joined(n *modelonnx.Node) int {
	width, last := 0, 0
	for _, name := range n.Inputs {
		v := t.values[name]
		made := slices.ContainsFunc(t.fused.products, func(p fusedProduct) bool { return p.node.Outputs[0] == name })
		if v == nil || !made || v.order <= last || t.readers[name] != 1 || v.wanted != t.values[n.Inputs[0]].wanted || width > kernels.MaxSide-v.width {
			return 0
		}
		width, last = width+v.width, v.order
	}
	if len(n.Outputs) != 1 || len(n.Attributes) != 1 || number(n, "axis", 0) != 1 {
		return 0
	}
	return width
}

// join lets the products that a node puts side by side go to the places that it puts them to.
func (t *translation) join(n *modelonnx.Node) bool {
	whole, column := t.values[n.Outputs[0]], 0
	for _, name := range n.Inputs {
		part := t.values[name]
		part.within, part.column = whole, column
		column += part.width
	}
	return true
}

// product is the place of a node's product among the graph's.
func (t *translation) product(n *modelonnx.Node) int {
	return slices.IndexFunc(t.fused.products, func(p fusedProduct) bool { return p.node.Outputs[0] == n.Outputs[0] })
}

// translate adds a node's action. Actions that read no other row than they write may write over what they read.
func (t *translation) translate(d *decoder, at int, n *modelonnx.Node) {
	x := t.values[n.Inputs[0]]
	of := func(i int) int { return t.values[n.Inputs[i]].buffer }
	makes := func(i int) int {
		if i >= len(n.Outputs) || n.Outputs[i] == "" {
			return kernels.NoBuffer
		}
		v := t.values[n.Outputs[i]]
		if v.within != nil {
			v = v.within
		}
		if v.buffer == kernels.InputBuffer {
			v.buffer = t.allocate(d, v)
		}
		return v.buffer
	}
	if is(n, "Concat") {
		return // the products have been put where it puts them
	}
	var a decoderAction
	switch {
	case is(n, "SimplifiedLayerNormalization"):
		t.release(at, n)
		a.weight = n.Inputs[1]
		a.action = kernels.Norm{Wanted: x.wanted, X: x.buffer, Branch: kernels.NoBuffer, Sum: kernels.NoBuffer, Y: makes(0), Epsilon: fraction(n, "epsilon", defaultEpsilon)}
	case is(n, "SkipSimplifiedLayerNormalization"):
		t.release(at, n)
		a.weight = n.Inputs[2]
		a.action = kernels.Norm{Wanted: x.wanted, X: x.buffer, Branch: of(1), Sum: makes(3), Y: makes(0), Epsilon: fraction(n, "epsilon", defaultSkipEpsilon)}
	case is(n, "Add"):
		t.release(at, n)
		a.action = kernels.Add{Wanted: x.wanted, X: x.buffer, Branch: of(1), Y: makes(0), Width: x.width}
	case is(n, "Gather"):
		a.action = kernels.Select{X: x.buffer, Y: makes(0), Width: x.width}
		t.release(at, n)
	case is(n, kernels.BlockMatMul):
		a.product = t.product(n)
		a.action = kernels.Multiply{Wanted: x.wanted, X: x.buffer, Y: makes(0), Column: t.values[n.Outputs[0]].column, Chosen: t.chosenColumns(n)}
		t.release(at, n)
	default:
		layer := slices.IndexFunc(t.fused.layers, func(a fusedAttention) bool { return a.node.Outputs[0] == n.Outputs[0] })
		a.action = kernels.Attend{X: x.buffer, Y: makes(0), Layer: layer, Chosen: t.values[n.Outputs[0]].chosen}
		t.release(at, n)
	}
	d.actions = append(d.actions, a)
}

// What norms without an epsilon have, by the definitions of their operators.
const (
	defaultEpsilon     = 1e-5
	defaultSkipEpsilon = 1e-12
)

// allocate gives a value a buffer: one of its width and of its kind of rows, as the actions of a program want it.
func (t *translation) allocate(d *decoder, v *decoded) int {
	for i, b := range t.free {
		if b.width == v.width && b.wanted == v.wanted {
			t.free = slices.Delete(t.free, i, i+1)
			return b.buffer
		}
	}
	d.widths = append(d.widths, v.width)
	return kernels.OwnBuffer + len(d.widths) - 1
}

// release frees the buffers of what a node is the last to read.
func (t *translation) release(at int, n *modelonnx.Node) {
	for _, name := range slices.Compact(slices.Sorted(slices.Values(n.Inputs))) {
		if v := t.values[name]; v != nil && v.buffer >= kernels.OwnBuffer && t.used[name] == at {
			t.free = append(t.free, freeBuffer{v.buffer, v.width, v.wanted})
		}
	}
}

// lies says whether all that the decoder's norms read is in a data file.
func (d *decoder) lies(file map[string][]byte) bool {
	return !slices.ContainsFunc(d.actions, func(a decoderAction) bool { return a.weight != "" && len(file[a.weight]) == 0 })
}

// program is the decoder's program, on the model's matrices and what lies in its data file.
func (d *decoder) program(matrices []*kernels.Matrix, file map[string][]byte) (*kernels.Program, error) {
	actions := make([]kernels.Action, len(d.actions))
	for i, a := range d.actions {
		switch action := a.action.(type) {
		case kernels.Norm:
			action.Weight = castSlice[float32](file[a.weight])
			actions[i] = action
		case kernels.Multiply:
			action.Matrix = matrices[a.product]
			actions[i] = action
		default:
			actions[i] = action
		}
	}
	return kernels.NewProgram(d.in, d.out, d.widths, actions)
}

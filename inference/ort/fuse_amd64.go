package ort

import (
	"slices"

	"github.com/sluiceml/sluice/inference/model"
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
)

// fusedGraph is a graph whose products with weights in blocks and whose attention are nodes of package kernels.
type fusedGraph struct {
	model    *modelonnx.Model
	products []fusedProduct
	layers   []fusedAttention // by layer
	heads    int
	decoder  *decoder // nil: the graph runs node by node
}

// fusedAttention is a node that attends, and how.
type fusedAttention struct {
	node           *modelonnx.Node
	scale, softcap float32
	window, pairs  int    // pairs: of each head's values that are turned
	cosines, sines string // initializers; "": none are

	queryNorm, keyNorm string // initializers of norms' weights; "": there are none
	epsilon            float32
	whole              bool // a norm is of all of a token's heads together
}

// fusedProduct is a node that multiplies, and the initializers of its weights.
type fusedProduct struct {
	node                           *modelonnx.Node
	out, in, bits, block           int
	codes, scales, offsets, biases string // offsets and biases: "" for none
	gate                           kernels.Gate
	cap                            float32 // of the results; 0: none
	byOutput                       bool    // an output has one scale, and codes are signed, [in, out]
}

// fuser rewrites one graph.
type fuser struct {
	graph        *modelonnx.Graph
	about        model.Graph
	initializers map[string]*modelonnx.Tensor
	producer     map[string]int   // of a value, by name: the place of its node
	users        map[string][]int // of a value
	ranks        map[string]int   // of values
	replaced     map[int]*modelonnx.Node
	fused        fusedGraph
}

// fuse puts nodes of package kernels in the places of
//
//   - MatMulNBits of [tokens, width] with blocks of 16 or of a multiple of 32. It takes in the Gemm that adds the blocks'
//     offsets, and the Split, QuickGelu and Mul of a gated product or the Div, Tanh and Mul of a soft cap, where nothing
//     else reads the results in between;
//   - the form row8's rounding of each token and MatMulIntegerToFloat, with what may follow a MatMulNBits;
//   - GroupQueryAttention on one tensor of queries, keys and values, with the Reshapes around it and the norms of queries
//     and keys before it; in a hybrid graph, the two of them that a layer has, for rows and for a chunk.
//
// The graph then takes a list of tokens, of any sequences, and the places of those whose logits are wanted; what gives it
// hidden states stays. All else stays ONNX Runtime's. An [unfusable] graph is no error of the model.
func fuse(m *modelonnx.Model, about model.Graph) (*fusedGraph, error) {
	if err := knownWhole(m); err != nil {
		return nil, err
	}
	if err := madeOnce(&m.Graph); err != nil {
		return nil, err
	}
	f := &fuser{
		graph: &m.Graph, about: about,
		initializers: map[string]*modelonnx.Tensor{}, producer: map[string]int{}, users: map[string][]int{},
		replaced: map[int]*modelonnx.Node{}, ranks: ranks(&m.Graph),
	}
	f.fused.layers = make([]fusedAttention, about.Layers)
	for i := range m.Graph.Initializers {
		f.initializers[m.Graph.Initializers[i].Name] = &m.Graph.Initializers[i]
	}
	for i := range m.Graph.Nodes {
		n := &m.Graph.Nodes[i]
		for _, name := range n.Outputs {
			if name != "" { // which is left out
				f.producer[name] = i
			}
		}
		for _, name := range n.Inputs {
			if name != "" {
				f.users[name] = append(f.users[name], i)
			}
		}
	}
	for _, o := range m.Graph.Outputs {
		f.users[o.Name] = append(f.users[o.Name], len(m.Graph.Nodes)) // nothing may fuse across it
	}
	for i := range m.Graph.Nodes {
		switch n := &m.Graph.Nodes[i]; {
		case is(n, "MatMulNBits"):
			f.product(i, n)
		case is(n, "MatMulIntegerToFloat"):
			f.productByOutput(n)
		case is(n, "GroupQueryAttention") && about.Hybrid != nil:
			if err := f.hybridAttention(n); err != nil {
				return nil, err
			}
		case is(n, "GroupQueryAttention"):
			if err := f.attention(n); err != nil {
				return nil, err
			}
		}
	}
	if slices.ContainsFunc(f.fused.layers, func(a fusedAttention) bool { return a.node == nil }) {
		return nil, &unfusable{"it has layers without attention"}
	}
	if len(f.fused.products) == 0 {
		return nil, &unfusable{"its weights are not in blocks"} // float32 throughout: so must keys and values be
	}
	f.finish(m)
	for _, v := range f.fused.model.Graph.Inputs {
		if v.Name != about.InputIDs && v.Name != about.LogitsIndices && v.Name != headRows {
			return nil, &unfusable{"what is left of it reads " + v.Name}
		}
	}
	return &f.fused, nil
}

// is says whether a node is of an operator, in the domain that has it.
func is(n *modelonnx.Node, op string) bool {
	switch op {
	case "MatMulNBits", "MatMulIntegerToFloat", "GroupQueryAttention", "QuickGelu", "SkipSimplifiedLayerNormalization":
		return n.Op == op && n.Domain == "com.microsoft"
	case kernels.BlockMatMul, kernels.SlotAttention:
		return n.Op == op && n.Domain == kernels.Domain
	}
	return n.Op == op && n.Domain == ""
}

// only is the node that alone reads a value, if it is of an operator.
func (f *fuser) only(value, op string) (int, *modelonnx.Node) {
	users := f.users[value]
	if len(users) != 1 || users[0] == len(f.graph.Nodes) || !is(&f.graph.Nodes[users[0]], op) {
		return 0, nil
	}
	return users[0], &f.graph.Nodes[users[0]]
}

// of is the node that makes a value, if it is of an operator.
func (f *fuser) of(value, op string) *modelonnx.Node {
	i, ok := f.producer[value]
	if !ok || !is(&f.graph.Nodes[i], op) {
		return nil
	}
	return &f.graph.Nodes[i]
}

// number is a node's attribute that is an integer.
func number(n *modelonnx.Node, name string, otherwise int64) int64 {
	for _, a := range n.Attributes {
		if a.Name == name && a.Kind == modelonnx.KindInt {
			return a.Int
		}
	}
	return otherwise
}

// fraction is a node's attribute that is a float.
func fraction(n *modelonnx.Node, name string, otherwise float32) float32 {
	for _, a := range n.Attributes {
		if a.Name == name && a.Kind == modelonnx.KindFloat {
			return a.Float
		}
	}
	return otherwise
}

// text is a node's attribute that is a string.
func text(n *modelonnx.Node, name string) string {
	for _, a := range n.Attributes {
		if a.Name == name && a.Kind == modelonnx.KindString {
			return a.Text
		}
	}
	return ""
}

// input is the name of a node's input, "" if it is left out.
func input(n *modelonnx.Node, i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// reads says whether a node has these inputs, and no others.
func reads(n *modelonnx.Node, names ...string) bool {
	for i := range max(len(names), len(n.Inputs)) {
		if i >= len(names) && n.Inputs[i] != "" || i < len(names) && input(n, i) != names[i] {
			return false
		}
	}
	return true
}

// product replaces a MatMulNBits, unless it is of another kind than the kernels take.
func (f *fuser) product(at int, n *modelonnx.Node) {
	const codes, scales, zeros, groups, biases = 1, 2, 3, 4, 5
	p := fusedProduct{
		out: int(number(n, "N", 0)), in: int(number(n, "K", 0)), bits: int(number(n, "bits", 4)), block: int(number(n, "block_size", 0)),
		codes: input(n, codes), scales: input(n, scales), biases: input(n, biases),
	}
	if p.block != kernels.ShortBlock && (p.block < kernels.BlockLength || p.block > kernels.MaxSide || p.block%kernels.BlockLength != 0) || p.bits != 4 && p.bits != 8 ||
		p.in < 1 || p.in > kernels.MaxSide || p.in%min(p.block, kernels.BlockLength) != 0 || p.out < 1 || p.out > kernels.MaxSide ||
		input(n, zeros) != "" || input(n, groups) != "" || number(n, "accuracy_level", 0) != roundsInputs ||
		slices.ContainsFunc(n.Attributes, unknownOfProduct) {
		return
	}
	blocks := int64((p.in + p.block - 1) / p.block)
	if f.ranks[input(n, 0)] != 2 || !f.lies(p.codes, modelonnx.Uint8, int64(p.out)*blocks*int64(p.block*p.bits/8)) ||
		!f.lies(p.scales, modelonnx.Float, int64(p.out)*blocks) || p.biases != "" && !f.lies(p.biases, modelonnx.Float, int64(p.out)) {
		return
	}
	x, result := n.Inputs[0], n.Outputs[0]
	if i, gemm := f.only(result, "Gemm"); gemm != nil && p.biases == "" && f.addsOffsets(gemm, x, result, p) {
		p.offsets, result, at = gemm.Inputs[1], gemm.Outputs[0], i
	}
	f.multiply(at, p, x, result)
}

// multiply puts a product in the place of a node, or of what takes its result through a gate or a soft cap.
func (f *fuser) multiply(at int, p fusedProduct, x, result string) {
	if i, mul, gate := f.gate(result, p.out); mul != nil {
		p.gate, result, at = gate, mul.Outputs[0], i
	} else if i, mul, most := f.cap(result); mul != nil {
		p.cap, result, at = most, mul.Outputs[0], i
	}
	p.node = &modelonnx.Node{
		Name: result, Domain: kernels.Domain, Op: kernels.BlockMatMul, Inputs: []string{x}, Outputs: []string{result},
	}
	f.replaced[at] = p.node
	f.fused.products = append(f.fused.products, p)
}

// unknownOfProduct says whether product does not look at an attribute of a MatMulNBits.
func unknownOfProduct(a modelonnx.Attribute) bool {
	return a.Kind != modelonnx.KindInt || !slices.Contains([]string{"N", "K", "bits", "block_size", "accuracy_level"}, a.Name)
}

// lies says whether an initializer is so many values in a data file.
func (f *fuser) lies(name string, of modelonnx.DataType, values int64) bool {
	t := f.initializers[name]
	return name != "" && t != nil && t.Type == of && t.External != nil && t.External.Length == values*int64(of.Bits()/8)
}

// roundsInputs is the accuracy level of MatMulNBits that allows inputs of 8 bits.
const roundsInputs = 4

// addsOffsets says whether a Gemm adds, to the product of x with centred blocks, offsets times the sums of x by block.
func (f *fuser) addsOffsets(gemm *modelonnx.Node, x, scaled string, p fusedProduct) bool {
	sums := f.of(input(gemm, 0), "ReduceSum")
	if sums == nil || p.in%p.block != 0 || len(gemm.Inputs) != 3 || gemm.Inputs[2] != scaled || !f.lies(input(gemm, 1), modelonnx.Float, int64(p.out)*int64(p.in/p.block)) || number(gemm, "transB", 0) != 1 ||
		number(gemm, "transA", 0) != 0 || fraction(gemm, "alpha", 1) != 1 || fraction(gemm, "beta", 1) != 1 ||
		number(sums, "keepdims", 1) != 0 || !f.holds(input(sums, 1), 2) {
		return false
	}
	blocks := f.of(input(sums, 0), "Reshape")
	return blocks != nil && input(blocks, 0) == x && f.holds(input(blocks, 1), -1, int64(p.in/p.block), int64(p.block))
}

// holds says whether an initializer within the graph holds these numbers.
func (f *fuser) holds(name string, values ...int64) bool {
	t := f.initializers[name]
	if t == nil || t.Type != modelonnx.Int64 || t.External != nil || len(t.Raw) != 8*len(values) {
		return false
	}
	return slices.Equal(castSlice[int64](t.Raw), values)
}

// gate finds what makes act(gate)·other of the halves of a product.
func (f *fuser) gate(result string, out int) (int, *modelonnx.Node, kernels.Gate) {
	_, split := f.only(result, "Split")
	if split == nil || out%2 != 0 || number(split, "axis", 0) != 1 || number(split, "num_outputs", 0) != 2 || !reads(split, result) || len(split.Outputs) != 2 {
		return 0, nil, kernels.NoGate
	}
	act, kind := f.activation(split.Outputs[0])
	if act == nil {
		return 0, nil, kernels.NoGate
	}
	i, mul := f.only(act.Outputs[0], "Mul")
	j, other := f.only(split.Outputs[1], "Mul")
	if mul == nil || other == nil || i != j || !reads(mul, act.Outputs[0], split.Outputs[1]) && !reads(mul, split.Outputs[1], act.Outputs[0]) {
		return 0, nil, kernels.NoGate
	}
	return i, mul, kind
}

// activation is the node that alone reads a value, if it is an activation that the kernels know.
func (f *fuser) activation(value string) (*modelonnx.Node, kernels.Gate) {
	if _, silu := f.only(value, "QuickGelu"); silu != nil && reads(silu, value) && fraction(silu, "alpha", 1.702) == 1 {
		return silu, kernels.SiLU
	}
	if _, gelu := f.only(value, "Gelu"); gelu != nil && reads(gelu, value) && text(gelu, "approximate") == "tanh" {
		return gelu, kernels.GELUTanh
	}
	return nil, kernels.NoGate
}

// finish makes the model of what is left.
func (f *fuser) finish(m *modelonnx.Model) {
	fused := *m
	fused.Opsets = append(slices.Clone(m.Opsets), modelonnx.Opset{Domain: kernels.Domain, Version: 1})
	g := &fused.Graph
	g.Outputs = slices.DeleteFunc(slices.Clone(g.Outputs), func(v modelonnx.Value) bool { return f.of(v.Name, "GroupQueryAttention") != nil })
	needed := map[string]bool{}
	for _, v := range g.Outputs {
		needed[v.Name] = true
	}
	g.Nodes = nil
	for i := len(m.Graph.Nodes) - 1; i >= 0; i-- {
		n := &m.Graph.Nodes[i]
		if with := f.replaced[i]; with != nil {
			n = with
		}
		if !slices.ContainsFunc(n.Outputs, func(name string) bool { return needed[name] }) {
			continue
		}
		for _, name := range n.Inputs {
			needed[name] = true
		}
		g.Nodes = append(g.Nodes, *n)
	}
	slices.Reverse(g.Nodes)
	g.Inputs = slices.DeleteFunc(slices.Clone(g.Inputs), func(v modelonnx.Value) bool { return !needed[v.Name] })
	g.Initializers = slices.DeleteFunc(slices.Clone(g.Initializers), func(t modelonnx.Tensor) bool { return !needed[t.Name] })
	f.fused.model = &fused
	f.fused.decoder = f.decode()
}

// bytes is the graph for a session: its nodes work on the matrices, in the order of the products, on the program, if there is
// one, and on the state.
func (f *fusedGraph) bytes(matrices []int64, program, state int64) []byte {
	of := map[string][]modelonnx.Attribute{}
	address := func(name string, of int64) modelonnx.Attribute {
		return modelonnx.Attribute{Name: name, Kind: modelonnx.KindInt, Int: of}
	}
	shared := address("state", state)
	for i, p := range f.products {
		of[p.node.Outputs[0]] = []modelonnx.Attribute{shared, address("matrix", matrices[i])}
	}
	for i, a := range f.layers {
		of[a.node.Outputs[0]] = []modelonnx.Attribute{shared, modelonnx.Int("layer", i)}
	}
	m := *f.model
	if f.decoder != nil {
		m.Graph.Nodes, m.Graph.Initializers = f.decoder.nodes, f.decoder.initializers
		of[f.decoder.node.Outputs[0]] = []modelonnx.Attribute{shared, address("program", program)}
	}
	m.Graph.Nodes = slices.Clone(m.Graph.Nodes)
	for i := range m.Graph.Nodes {
		if n := &m.Graph.Nodes[i]; n.Domain == kernels.Domain {
			n.Attributes = of[n.Outputs[0]]
		}
	}
	return m.Marshal()
}

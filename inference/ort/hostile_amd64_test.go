package ort

import (
	"testing"
	"unsafe"

	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
)

// TestOperatorsRefuseShapes: a graph that gives an operator another tensor than it was made for fails, in place of
// reading and writing past its ends.
func TestOperatorsRefuseShapes(t *testing.T) {
	if !kernels.Supported() {
		t.Skip("this processor has neither AVX2 nor AVX-512 VNNI")
	}
	const in, tokens, heads, size = 64, 4, 2, 16
	env := openEnvironment(t)
	memory, err := reserve(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := memory.free(); err != nil {
			t.Error(err)
		}
	}()
	weights := kernels.Weights{Out: 16, In: in, Bits: 4, Block: kernels.BlockLength, Codes: make([]byte, 16*in/2), Scales: make([]float32, 16*in/kernels.BlockLength)}
	room := carve[int8](memory, weights.MaxBytes())
	matrix, err := kernels.Pack(weights, unsafe.Slice((*byte)(unsafe.Pointer(&room[0])), len(room))) //nolint:gosec // the same bytes
	if err != nil {
		t.Fatal(err)
	}
	defer matrix.Close()
	table := carve[float32](memory, 16*size/2)
	state, err := kernels.NewState(kernels.StateConfig{
		Layers: []kernels.Layer{{Cosines: table, Sines: table, Pairs: size / 2, Scale: 1}}, Heads: heads, KVHeads: 1, HeadSize: size, MaxLength: 16,
		MaxTokens: tokens, MaxIn: in, Threads: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	state.SetLayer(0, carve[uint16](memory, 16*size), carve[uint16](memory, 16*size))
	product := modelonnx.Node{Op: kernels.BlockMatMul, Attributes: []modelonnx.Attribute{{Name: "matrix", Kind: modelonnx.KindInt, Int: matrix.Address()}}}
	attention := modelonnx.Node{Op: kernels.SlotAttention, Attributes: []modelonnx.Attribute{modelonnx.Int("layer", 0)}}
	const wide = (heads + 2) * size
	program, err := kernels.NewProgram(in, in, nil, []kernels.Action{kernels.Select{X: kernels.InputBuffer, Y: kernels.OutputBuffer, Width: in}})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	decoder := modelonnx.Node{Op: kernels.Decoder, Attributes: []modelonnx.Attribute{{Name: "program", Kind: modelonnx.KindInt, Int: program.Address()}}}
	for name, c := range map[string]struct {
		node  modelonnx.Node
		shape []int64
		fits  bool
		index []int64
	}{
		"a product":                          {product, []int64{tokens, in}, true, nil},
		"a product of nothing":               {product, []int64{0, in}, true, nil},
		"a product of narrow rows":           {product, []int64{1, in / 2}, false, nil},
		"a product of wide rows":             {product, []int64{1, 2 * in}, false, nil},
		"a product of too many rows":         {product, []int64{tokens + 1, in}, false, nil},
		"a product of three dimensions":      {product, []int64{1, tokens, in}, false, nil},
		"attention":                          {attention, []int64{2, wide}, true, nil},
		"attention of fewer tokens":          {attention, []int64{1, wide}, false, nil},
		"attention of more tokens":           {attention, []int64{3, wide}, false, nil},
		"attention of narrow rows":           {attention, []int64{2, wide - size}, false, nil},
		"attention of three dimensions":      {attention, []int64{1, 2, wide}, false, nil},
		"a decoder":                          {decoder, []int64{2, in}, true, []int64{1}},
		"a decoder of nothing wanted":        {decoder, []int64{2, in}, true, []int64{}},
		"a decoder of narrow rows":           {decoder, []int64{2, in / 2}, false, []int64{1}},
		"a decoder of more tokens":           {decoder, []int64{3, in}, false, []int64{1}},
		"a token after the last":             {decoder, []int64{2, in}, false, []int64{2}},
		"a token before the first":           {decoder, []int64{2, in}, false, []int64{-1}},
		"more tokens than there is room for": {decoder, []int64{2, in}, false, make([]int64, tokens+1)},
	} {
		t.Run(name, func(t *testing.T) {
			state.Reset()
			state.AddRun(0, 0, 2)
			width := int64(16)
			switch c.node.Op {
			case kernels.SlotAttention:
				width = heads * size
			case kernels.Decoder:
				width = in
			}
			err := runOperator(t, env, memory, c.node, state.Address(), c.shape, c.index, width)
			if c.fits != (err == nil) {
				t.Error(err)
			}
		})
	}
}

// runOperator runs a graph of one node on zeros and, unless it is nil, an index. width is that of its result.
func runOperator(t *testing.T, env *Environment, memory *region, node modelonnx.Node, state int64, shape, index []int64, width int64) error {
	t.Helper()
	api, err := loadedAPI(env.library)
	if err != nil {
		t.Fatal(err)
	}
	ortEnv, err := api.newEnv()
	if err != nil {
		t.Fatal(err)
	}
	defer api.releaseEnv(ortEnv)
	options, err := sessionOptions(Device{Provider: CPU, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer options.Destroy() //nolint:errcheck // it has no errors
	var status, domain unsafe.Pointer
	status, domain = kernels.Register(api.table, pointerIn(options, "o"))
	if err := api.failure(status); err != nil {
		t.Fatal(err)
	}
	defer api.releaseDomain(domain)
	node.Name, node.Domain, node.Inputs, node.Outputs = "node", kernels.Domain, []string{"x"}, []string{"y"}
	node.Attributes = append(node.Attributes, modelonnx.Attribute{Name: "state", Kind: modelonnx.KindInt, Int: state})
	dims := make([]modelonnx.Dim, len(shape)) // of any size
	graph := modelonnx.Model{
		IRVersion: 10, Opsets: []modelonnx.Opset{{Version: 21}, {Domain: kernels.Domain, Version: 1}},
		Graph: modelonnx.Graph{
			Name: "graph", Nodes: []modelonnx.Node{node},
			Inputs:  []modelonnx.Value{{Name: "x", Type: modelonnx.Float, Shape: dims}},
			Outputs: []modelonnx.Value{{Name: "y", Type: modelonnx.Float, AnyShape: true}},
		},
	}
	rows := shape[0]
	if index != nil {
		rows = int64(len(index))
		raw := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(index))), 8*len(index)) //nolint:gosec // the same bytes
		graph.Graph.Nodes[0].Inputs = []string{"x", "index"}
		graph.Graph.Initializers = []modelonnx.Tensor{{Name: "index", Type: modelonnx.Int64, Dims: []int64{rows}, Raw: raw}}
	}
	session, err := api.newSessionOf(ortEnv, graph.Marshal(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Destroy() //nolint:errcheck // it has no errors
	x := memory.bytes[len(memory.bytes)/2:]
	clear(x)
	values := unsafe.Slice((*float32)(unsafe.Pointer(&x[0])), len(x)/4) //nolint:gosec // at the start of a page
	var owner tensors
	defer owner.close() //nolint:errcheck // it has no errors
	input, err := newTensor(&owner, values, shape...)
	if err != nil {
		t.Fatal(err)
	}
	binding, err := session.CreateIoBinding()
	if err != nil {
		t.Fatal(err)
	}
	defer binding.Destroy() //nolint:errcheck // it has no errors
	if err := binding.BindInput("x", input); err != nil {
		t.Fatal(err)
	}
	output, err := newTensor(&owner, values[len(values)/2:], rows, width)
	if err != nil {
		t.Fatal(err)
	}
	if err := binding.BindOutput("y", output); err != nil {
		t.Fatal(err)
	}
	return session.RunWithBinding(binding)
}

package ort

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
)

// smallGraph is a model of one layer of attention, and of what a test puts behind it, in the form that Sluice's converter
// writes.
type smallGraph struct {
	m      modelonnx.Model
	about  model.Graph
	data   []byte
	random *rand.Rand
}

const (
	smallHidden, smallHeads, smallSize, smallVocabulary, smallLength = 64, 2, 16, 48, 64

	smallState = "hidden" // what the tail reads: [tokens, smallHidden]
)

// newSmallGraph makes a graph. tail adds the nodes from smallState to the logits; nil: those of a model.
func newSmallGraph(tail func(g *smallGraph)) *smallGraph {
	g := &smallGraph{
		about:  model.DefaultGraph(model.Spec{Layers: 1, KVHeads: 1, HeadSize: smallSize, VocabSize: smallVocabulary}),
		random: rand.New(rand.NewPCG(31, 32)),
	}
	if tail == nil {
		tail = (*smallGraph).head
	}
	const qkv = (smallHeads + 2) * smallSize
	g.numbers("flat", -1)
	g.numbers("qkv_width", qkv)
	g.numbers("attended_shape", -1, smallHeads*smallSize)
	g.floats("embedding", func(int) float32 { return g.random.Float32() - 0.5 }, smallVocabulary, smallHidden)
	g.floats("cos", func(i int) float32 { return float32(math.Cos(float64(i))) }, smallLength, smallSize/2)
	g.floats("sin", func(i int) float32 { return float32(math.Sin(float64(i))) }, smallLength, smallSize/2)
	g.floats("gain", func(int) float32 { return 0.5 + g.random.Float32() }, smallHidden)
	g.floats("gain2", func(int) float32 { return 0.5 + g.random.Float32() }, smallHidden)
	g.node("Reshape", []string{"input_ids", "flat"}, []string{"tokens"})
	g.node("Shape", []string{"input_ids"}, []string{"input_shape"})
	g.node("Concat", []string{"input_shape", "qkv_width"}, []string{"qkv_shape"}, modelonnx.Int("axis", 0))
	g.node("Gather", []string{"embedding", "tokens"}, []string{"x"}, modelonnx.Int("axis", 0))
	g.node("SimplifiedLayerNormalization", []string{"x", "gain"}, []string{"normed"}, modelonnx.Int("axis", -1))
	g.product("normed", "qkv", smallHidden, qkv)
	g.node("Reshape", []string{"qkv", "qkv_shape"}, []string{"qkv_rows"})
	g.node("GroupQueryAttention", []string{"qkv_rows", "", "", "past_key_values.0.key", "past_key_values.0.value", "seqlens_k", "total_sequence_length", "cos", "sin"},
		[]string{"attended", "present.0.key", "present.0.value"},
		modelonnx.Int("num_heads", smallHeads), modelonnx.Int("kv_num_heads", 1), modelonnx.Int("do_rotary", 1), modelonnx.Real("scale", 0.25))
	g.node("Reshape", []string{"attended", "attended_shape"}, []string{"attended_rows"})
	g.product("attended_rows", "branch", smallHeads*smallSize, smallHidden)
	g.node("SkipSimplifiedLayerNormalization", []string{"x", "branch", "gain2"}, []string{smallState, "", "", "sum"}, modelonnx.Real("epsilon", 1e-5))
	tail(g)
	one := modelonnx.Named
	cache := []modelonnx.Dim{one("batch"), modelonnx.Fixed(1), one("cache"), modelonnx.Fixed(smallSize)}
	value := func(name string, of modelonnx.DataType, shape ...modelonnx.Dim) modelonnx.Value {
		return modelonnx.Value{Name: name, Type: of, Shape: shape}
	}
	g.m.IRVersion, g.m.Opsets, g.m.Graph.Name = 10, []modelonnx.Opset{{Version: 21}, {Domain: "com.microsoft", Version: 1}}, "small"
	g.m.Graph.Inputs = []modelonnx.Value{
		value("input_ids", modelonnx.Int64, one("batch"), one("sequence")), value("seqlens_k", modelonnx.Int32, one("batch")),
		value("total_sequence_length", modelonnx.Int32), value("logits_idx", modelonnx.Int64, one("wanted")),
		value("past_key_values.0.key", modelonnx.Float, cache...), value("past_key_values.0.value", modelonnx.Float, cache...),
	}
	g.m.Graph.Outputs = []modelonnx.Value{
		value("logits", modelonnx.Float, one("wanted"), modelonnx.Fixed(g.about.VocabSize)),
		value("present.0.key", modelonnx.Float, cache...), value("present.0.value", modelonnx.Float, cache...),
	}
	return g
}

// head takes the wanted rows to logits.
func (g *smallGraph) head() {
	g.wanted(smallState, "wanted")
	g.product("wanted", "logits", smallHidden, smallVocabulary)
}

// wanted takes the wanted rows of a value.
func (g *smallGraph) wanted(from, to string) {
	g.node("Gather", []string{from, "logits_idx"}, []string{to}, modelonnx.Int("axis", 0))
}

func (g *smallGraph) node(op string, inputs, outputs []string, attributes ...modelonnx.Attribute) {
	n := modelonnx.Node{Name: op + " " + outputs[0], Op: op, Inputs: inputs, Outputs: outputs, Attributes: attributes}
	switch op {
	case "MatMulNBits", "MatMulIntegerToFloat", "GroupQueryAttention", "SkipSimplifiedLayerNormalization", "QuickGelu":
		n.Domain = "com.microsoft"
	}
	g.m.Graph.Nodes = append(g.m.Graph.Nodes, n)
}

// product multiplies with random weights of 4 bits.
func (g *smallGraph) product(from, to string, in, out int) {
	codes := make([]byte, in*out/2)
	for i := range codes {
		codes[i] = byte(g.random.Uint32())
	}
	blocks := int64(in / kernels.BlockLength)
	weights := g.weight(to+".weight", modelonnx.Uint8, codes, int64(out), blocks, kernels.BlockLength/2)
	scales := g.floats(to+".scales", func(int) float32 { return 0.02 * g.random.Float32() }, int64(out), blocks)
	g.node("MatMulNBits", []string{from, weights, scales}, []string{to}, modelonnx.Int("K", in), modelonnx.Int("N", out),
		modelonnx.Int("bits", 4), modelonnx.Int("block_size", kernels.BlockLength), modelonnx.Int("accuracy_level", roundsInputs))
}

// weight puts a tensor into the data file.
func (g *smallGraph) weight(name string, of modelonnx.DataType, raw []byte, dims ...int64) string {
	const line = 64
	g.data = append(g.data, make([]byte, (line-len(g.data)%line)%line)...)
	g.m.Graph.Initializers = append(g.m.Graph.Initializers, modelonnx.Tensor{
		Name: name, Type: of, Dims: dims, External: &modelonnx.External{Location: g.about.Data, Offset: int64(len(g.data)), Length: int64(len(raw))},
	})
	g.data = append(g.data, raw...)
	return name
}

// floats puts float32 values into the data file.
func (g *smallGraph) floats(name string, value func(i int) float32, dims ...int64) string {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	var raw []byte
	for i := range n {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(value(int(i))))
	}
	return g.weight(name, modelonnx.Float, raw, dims...)
}

// numbers puts integers into the graph.
func (g *smallGraph) numbers(name string, values ...int64) {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	g.m.Graph.Initializers = append(g.m.Graph.Initializers, modelonnx.Tensor{Name: name, Type: modelonnx.Int64, Dims: []int64{int64(len(values))}, Raw: raw})
}

// initializer finds one by name.
func (g *smallGraph) initializer(name string) *modelonnx.Tensor {
	for i := range g.m.Graph.Initializers {
		if g.m.Graph.Initializers[i].Name == name {
			return &g.m.Graph.Initializers[i]
		}
	}
	panic("there is no " + name)
}

// maker finds the node that makes a value.
func (g *smallGraph) maker(value string) *modelonnx.Node {
	for i := range g.m.Graph.Nodes {
		if g.m.Graph.Nodes[i].Outputs[0] == value {
			return &g.m.Graph.Nodes[i]
		}
	}
	panic("nothing makes " + value)
}

// write puts the model into a folder of its own.
func (g *smallGraph) write(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, g.about.File)
	for name, content := range map[string][]byte{path: g.m.Marshal(), filepath.Join(dir, g.about.Data): g.data} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Config{
		Model: path, Graph: g.about, ContextLength: smallLength, Device: Device{Provider: CPU, Threads: 2}, Slots: 2, MaxLength: smallLength, MaxChunk: 16,
	}
}

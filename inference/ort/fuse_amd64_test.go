package ort

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
)

// TestFuse: everything of the default model that can be fused is.
func TestFuse(t *testing.T) {
	config := realConfig(t)
	fused, err := fuse(readModel(t, config), config.Graph)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, n := range fused.model.Graph.Nodes {
		count[n.Op]++
	}
	layers := config.Graph.Layers
	if count[kernels.BlockMatMul] != 4*layers+1 || count[kernels.SlotAttention] != layers || count["Gemm"] != 0 || count["Mul"] != 0 ||
		count["MatMulNBits"] != 0 || count["GroupQueryAttention"] != 0 || len(fused.model.Graph.Inputs) != 2 || len(fused.model.Graph.Outputs) != 1 {
		t.Errorf("%d inputs, nodes %v", len(fused.model.Graph.Inputs), count)
	}
	if len(fused.products) != 4*layers+1 {
		t.Errorf("%d products", len(fused.products))
	}
	d := fused.decoder
	if d == nil || len(d.nodes) != 3 || len(d.actions) != 7*layers+4 || d.in != 576 || d.out != config.Graph.VocabSize {
		t.Fatalf("the decoder is %+v", d)
	}
	// With hidden states, the head takes some of their rows only.
	m, _, err := withHidden(readModel(t, config), config.Graph)
	if err != nil {
		t.Fatal(err)
	}
	with, err := fuse(m, config.Graph)
	if err != nil {
		t.Fatal(err)
	}
	if d := with.decoder; d == nil || len(d.nodes) != 5 || len(d.actions) != 7*layers+3 || d.out != d.in {
		t.Errorf("with hidden states, the decoder is %+v", d)
	}
	// Six buffers of all tokens' rows and five of the wanted ones': of the residual stream, what is added to it and their norm,
	// and of what layers make.
	if len(d.widths) > 11 {
		t.Errorf("buffers of %v values", d.widths)
	}
}

// TestDecoderRefuses: a graph whose norms are a little different, or of which something within is read elsewhere, runs node
// by node.
func TestDecoderRefuses(t *testing.T) {
	config := realConfig(t)
	const skip, plain = "SkipSimplifiedLayerNormalization", "SimplifiedLayerNormalization"
	node := func(m *modelonnx.Model, op string) *modelonnx.Node {
		return &m.Graph.Nodes[slices.IndexFunc(m.Graph.Nodes, func(n modelonnx.Node) bool { return n.Op == op })]
	}
	for name, change := range map[string]func(m *modelonnx.Model){
		"another axis": func(m *modelonnx.Model) { node(m, plain).Attributes = []modelonnx.Attribute{modelonnx.Int("axis", 0)} },
		"an attribute": func(m *modelonnx.Model) {
			node(m, skip).Attributes = append(node(m, skip).Attributes, modelonnx.Int("beta", 1))
		},
		"a bias":          func(m *modelonnx.Model) { node(m, skip).Inputs = append(node(m, skip).Inputs, node(m, skip).Inputs[2]) },
		"another result":  func(m *modelonnx.Model) { node(m, skip).Outputs[1] = "mean" },
		"another weight":  func(m *modelonnx.Model) { node(m, skip).Inputs[2] = node(m, "MatMulNBits").Inputs[1] },
		"no weight":       func(m *modelonnx.Model) { node(m, plain).Inputs = node(m, plain).Inputs[:1] },
		"a sum of others": func(m *modelonnx.Model) { node(m, skip).Inputs[1] = node(m, "MatMulNBits").Outputs[0] },
		"an unknown node": func(m *modelonnx.Model) { node(m, skip).Op = "SkipLayerNormalization" },
		"an unknown reader": func(m *modelonnx.Model) {
			m.Graph.Nodes = append(m.Graph.Nodes, modelonnx.Node{Name: "more", Op: "Add", Inputs: []string{config.Graph.Logits, node(m, plain).Outputs[0]}, Outputs: []string{"more"}})
			head := &m.Graph.Nodes[len(m.Graph.Nodes)-2]
			head.Outputs[0], m.Graph.Nodes[len(m.Graph.Nodes)-1].Inputs[0] = "product", "product"
			m.Graph.Nodes[len(m.Graph.Nodes)-1].Outputs[0] = config.Graph.Logits
		},
	} {
		m := readModel(t, config)
		change(m)
		if fused, err := fuse(m, config.Graph); err != nil || fused.decoder != nil {
			t.Errorf("%s: one node (%v)", name, err)
		}
	}
}

// TestFuseRefuses: a graph that is a little different, or that is made to do harm, stays as it is.
func TestFuseRefuses(t *testing.T) {
	config := realConfig(t)
	// node finds the nth node of an operator.
	node := func(m *modelonnx.Model, op string, n int) *modelonnx.Node {
		for i := range m.Graph.Nodes {
			if m.Graph.Nodes[i].Op == op {
				if n--; n < 0 {
					return &m.Graph.Nodes[i]
				}
			}
		}
		t.Fatalf("there is no such %s", op)
		return nil
	}
	attention := func(m *modelonnx.Model) *modelonnx.Node { return node(m, "GroupQueryAttention", config.Graph.Layers-1) }
	set := func(n *modelonnx.Node, name string, v int64) {
		for i := range n.Attributes {
			if n.Attributes[i].Name == name {
				n.Attributes[i].Int = v
				return
			}
		}
		t.Fatalf("%s has no %s", n.Name, name)
	}
	for name, change := range map[string]func(m *modelonnx.Model){
		"a window of nothing": func(m *modelonnx.Model) {
			attention(m).Attributes = append(attention(m).Attributes, modelonnx.Int("local_window_size", 0))
		},
		"a window that is no integer": func(m *modelonnx.Model) {
			attention(m).Attributes = append(attention(m).Attributes, modelonnx.Real("local_window_size", 128))
		},
		"a negative soft cap": func(m *modelonnx.Model) {
			attention(m).Attributes = append(attention(m).Attributes, modelonnx.Real("softcap", -50))
		},
		"another input":     func(m *modelonnx.Model) { attention(m).Inputs = append(attention(m).Inputs, "position_ids") },
		"another domain":    func(m *modelonnx.Model) { attention(m).Domain = "" },
		"no results":        func(m *modelonnx.Model) { attention(m).Outputs = nil },
		"no heads":          func(m *modelonnx.Model) { set(attention(m), "num_heads", 0) },
		"heads beyond 2^32": func(m *modelonnx.Model) { set(attention(m), "num_heads", 9+3<<32) },
		"Reshapes of nothing": func(m *modelonnx.Model) {
			for i := range m.Graph.Nodes {
				if m.Graph.Nodes[i].Op == "Reshape" {
					m.Graph.Nodes[i].Inputs = nil
				}
			}
		},
		"sines of other angles": func(m *modelonnx.Model) {
			const sines = 8
			for _, tensor := range m.Graph.Initializers {
				if tensor.Name == attention(m).Inputs[sines] {
					tensor.Name, tensor.Dims = "others", []int64{tensor.Dims[0] * 2, tensor.Dims[1] / 2}
					m.Graph.Initializers = append(m.Graph.Initializers, tensor)
				}
			}
			attention(m).Inputs[sines] = "others"
		},
		"another shape of results": func(m *modelonnx.Model) {
			flat := node(m, "Reshape", 0)
			for i := range m.Graph.Nodes {
				if n := &m.Graph.Nodes[i]; n.Op == "Reshape" && n.Inputs[0] == attention(m).Outputs[0] {
					flat = n
				}
			}
			flat.Inputs[1] = "flat"
		},
		"keys that are read elsewhere": func(m *modelonnx.Model) {
			const table = 1
			gather := node(m, "Gather", 0)
			gather.Inputs = slices.Clone(gather.Inputs)
			gather.Inputs[table] = attention(m).Outputs[1]
		},
		"another layer's values": func(m *modelonnx.Model) {
			const values = 4
			attention(m).Inputs[values] = fmt.Sprintf(config.Graph.PastValue, 0)
		},
		"lengths that are made": func(m *modelonnx.Model) {
			const lengths = 5
			m.Graph.Nodes = slices.Insert(m.Graph.Nodes, 0, modelonnx.Node{Op: "Identity", Inputs: []string{config.Graph.SeqlensK}, Outputs: []string{"lengths"}})
			attention(m).Inputs[lengths] = "lengths"
		},
		"lengths where the longest is": func(m *modelonnx.Model) {
			const longest = 6
			attention(m).Inputs[longest] = config.Graph.SeqlensK
		},
		"keys that go to values":  func(m *modelonnx.Model) { slices.Reverse(attention(m).Outputs[1:]) },
		"queries of other widths": func(m *modelonnx.Model) { tensorNamed(t, &m.Graph, "qkv_width").Raw[0] ^= 64 },
		"queries side by side": func(m *modelonnx.Model) {
			maker(t, &m.Graph, "qkv_shape").Attributes = []modelonnx.Attribute{modelonnx.Int("axis", -1)}
		},
		"a shape of another list": func(m *modelonnx.Model) { maker(t, &m.Graph, "input_shape").Inputs[0] = config.Graph.LogitsIndices },
		"a part of the shape": func(m *modelonnx.Model) {
			maker(t, &m.Graph, "input_shape").Attributes = []modelonnx.Attribute{modelonnx.Int("start", 1)}
		},
		"a shape that is an input": func(m *modelonnx.Model) {
			maker(t, &m.Graph, attention(m).Inputs[0]).Inputs[1] = config.Graph.LogitsIndices
		},
		"addresses of its own": func(m *modelonnx.Model) {
			node(m, "Gather", 0).Domain = kernels.Domain
		},
		"a subgraph": func(m *modelonnx.Model) {
			const graph = 5
			node(m, "Gather", 0).Attributes = append(node(m, "Gather", 0).Attributes, modelonnx.Attribute{Name: "body", Kind: graph})
		},
		"values in a typed field": func(m *modelonnx.Model) {
			m.Graph.Initializers = append(m.Graph.Initializers, modelonnx.Tensor{Name: "typed", Type: modelonnx.Float, Dims: []int64{1}})
		},
	} {
		m := readModel(t, config)
		change(m)
		if _, err := fuse(m, config.Graph); err == nil {
			t.Errorf("%s: fused", name)
		} else if _, ok := errors.AsType[*unfusable](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	products := 4*config.Graph.Layers + 1
	for name, change := range map[string]func(n *modelonnx.Node){
		"another domain":       func(n *modelonnx.Node) { n.Domain = "" },
		"an unknown attribute": func(n *modelonnx.Node) { n.Attributes = append(n.Attributes, modelonnx.Int("weight_prepacked", 1)) },
		"no inputs":            func(n *modelonnx.Node) { n.Inputs = nil },
		"blocks of 2^62":       func(n *modelonnx.Node) { set(n, "block_size", 1<<62) },
		"sizes that overflow": func(n *modelonnx.Node) {
			set(n, "N", number(n, "N", 0)+1<<60)
		},
	} {
		m := readModel(t, config)
		change(node(m, "MatMulNBits", 0))
		if fused, err := fuse(m, config.Graph); err == nil && len(fused.products) != products-1 {
			t.Errorf("%s: fused", name)
		}
	}
	// With [batch, sequence] in place of a list of tokens, the residual stream has three dimensions, and all that is made
	// of it by normalization.
	m := readModel(t, config)
	node(m, "GatherBlockQuantized", 0).Inputs[1] = config.Graph.InputIDs
	fused, err := fuse(m, config.Graph)
	if err == nil {
		for _, p := range fused.products {
			if strings.Contains(p.node.Outputs[0], "qkv_proj") || strings.Contains(p.node.Outputs[0], "gated") {
				t.Errorf("%s: fused", p.node.Outputs[0])
			}
		}
	}
}

// readModel reads the graph of a model.
func readModel(t *testing.T, config Config) *modelonnx.Model {
	t.Helper()
	raw, err := os.ReadFile(config.Model)
	if err != nil {
		t.Fatal(err)
	}
	m, err := modelonnx.Unmarshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

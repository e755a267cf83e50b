package ort

import (
	"encoding/binary"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder"
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
)

// row8Case builds one of the builder's test cases in the form row8, with the hybrid graph.
func row8Case(t *testing.T, architecture, name string) Config {
	t.Helper()
	cases := readCases(t, filepath.Join("../model/builder/testdata/architectures", architecture+".json"))
	c := cases[slices.IndexFunc(cases, func(c testCase) bool { return c.Name == name })]
	source, err := model.OpenSource(c.write(t))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close() //nolint:errcheck // read only
	dir := t.TempDir()
	m, err := builder.Build(t.Context(), source, dir, builder.Options{Quantize: builder.FormRow8, ContextLength: c.Context, Calibration: [][]uint32{{1, 2, 3, 4}}})
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Model: filepath.Join(dir, m.Graph.File), Graph: m.Graph, ContextLength: m.ContextLength, Device: Device{Provider: CPU, Threads: 2},
		Slots: 4, MaxLength: 64, MaxChunk: 16,
	}
}

// TestFuseRow8: a graph of the form row8 becomes one node, and what is a little different in the rounding of inputs, in a product or
// in one of a layer's two attentions stays as it is.
func TestFuseRow8(t *testing.T) {
	config := row8Case(t, "llama", "llama3 scaling, three heads")
	about := config.Graph
	const layer = "model.layers.1."
	// own finds the node that makes a value, for a change that other nodes do not share.
	own := func(m *modelonnx.Model, value string) *modelonnx.Node {
		i := slices.IndexFunc(m.Graph.Nodes, func(n modelonnx.Node) bool { return slices.Contains(n.Outputs, value) })
		if i < 0 {
			t.Fatalf("nothing makes %s", value)
		}
		n := &m.Graph.Nodes[i]
		n.Inputs, n.Attributes = slices.Clone(n.Inputs), slices.Clone(n.Attributes)
		return n
	}
	// fusedProducts are 0 where a graph stays as it is for a reason.
	fusedProducts := func(name string, change func(m *modelonnx.Model)) (products int, one bool, why string) {
		m := readModel(t, config)
		change(m)
		fused, err := fuse(m, about)
		if err != nil {
			refused, ok := errors.AsType[*unfusable](err)
			if !ok {
				t.Fatalf("%s: %v", name, err)
			}
			return 0, false, refused.reason
		}
		for _, p := range fused.products {
			if !p.byOutput {
				t.Errorf("%s: a product in blocks", name)
			}
		}
		return len(fused.products), fused.decoder != nil, ""
	}
	all, one, why := fusedProducts("nothing", func(*modelonnx.Model) {})
	if all != 4*about.Layers+1 || !one {
		t.Fatalf("%d products, one node: %t, %s", all, one, why)
	}
	// What all products read, or one.
	for name, change := range map[string]func(m *modelonnx.Model){
		"another step":        func(m *modelonnx.Model) { tensorNamed(t, &m.Graph, "row8.step").Raw[0] ^= 1 },
		"another zero":        func(m *modelonnx.Model) { tensorNamed(t, &m.Graph, "row8.zero").Raw[0]-- },
		"a large least scale": func(m *modelonnx.Model) { tensorNamed(t, &m.Graph, "row8.least").Raw[3] = 0x3f },
		"a least scale that is too large by little": func(m *modelonnx.Model) {
			binary.LittleEndian.PutUint32(tensorNamed(t, &m.Graph, "row8.least").Raw, math.Float32bits(math.Nextafter32(1e-6, 1)))
		},
		"a negative one":     func(m *modelonnx.Model) { tensorNamed(t, &m.Graph, "row8.least").Raw[3] |= 0x80 },
		"another axis":       func(m *modelonnx.Model) { tensorNamed(t, &m.Graph, "row8.axis").Raw[0] = 0 },
		"a factor of inputs": func(m *modelonnx.Model) { tensorNamed(t, &m.Graph, "row8.one").Raw[3] ^= 1 },
		"scales of their own": func(m *modelonnx.Model) {
			own(m, layer+"self_attn.qkv_proj").Inputs[1] = "model.layers.0.mlp.gated.scale"
		},
		"zeros of the weights": func(m *modelonnx.Model) {
			n := own(m, layer+"mlp.down_proj.integers")
			n.Inputs = append(n.Inputs, "row8.zero")
		},
		"signed inputs":       func(m *modelonnx.Model) { own(m, layer+"mlp.down_proj.integers").Inputs[4] = "" },
		"no inputs":           func(m *modelonnx.Model) { own(m, layer+"mlp.down_proj.integers").Inputs = nil },
		"no inputs of a step": func(m *modelonnx.Model) { own(m, layer+"mlp.gated.step").Inputs = nil },
		"no inputs of a step, and a number without a name": func(m *modelonnx.Model) {
			step := *tensorNamed(t, &m.Graph, "row8.step")
			step.Name = ""
			m.Graph.Initializers = append(m.Graph.Initializers, step)
			own(m, layer+"mlp.gated.step").Inputs = nil
		},
		"codes of another type": func(m *modelonnx.Model) {
			n := own(m, layer+"mlp.gated.codes")
			n.Attributes = append(n.Attributes, modelonnx.Int("output_dtype", int(modelonnx.Uint8)))
		},
		"codes that may not be cut off": func(m *modelonnx.Model) {
			n := own(m, layer+"mlp.gated.codes")
			n.Attributes = append(n.Attributes, modelonnx.Int("saturate", 0))
		},
		"zeros of another value": func(m *modelonnx.Model) {
			zero := *tensorNamed(t, &m.Graph, "row8.zero")
			zero.Name, zero.Raw = "other.zero", []byte{127}
			m.Graph.Initializers = append(m.Graph.Initializers, zero)
			own(m, "tokens.zeros").Inputs[0] = zero.Name
		},
		"no dimension of scales": func(m *modelonnx.Model) { setInt(own(m, layer+"mlp.gated.largest"), "keepdims", 0) },
		"groups":                 func(m *modelonnx.Model) { setInt(own(m, layer+"mlp.gated.codes"), "block_size", 32) },
		"no magnitude":           func(m *modelonnx.Model) { own(m, layer+"mlp.gated.magnitude").Op = "Neg" },
		"another's magnitude":    func(m *modelonnx.Model) { own(m, layer+"mlp.gated.magnitude").Inputs[0] = layer + "mlp.act_fn" },
		"weights without bytes": func(m *modelonnx.Model) {
			tensorNamed(t, &m.Graph, layer+"mlp.down_proj.weight").External.Length--
		},
		"unsigned weights": func(m *modelonnx.Model) {
			tensorNamed(t, &m.Graph, layer+"mlp.down_proj.weight").Type = modelonnx.Uint8
		},
		"integers that are read elsewhere": func(m *modelonnx.Model) {
			m.Graph.Outputs = append(m.Graph.Outputs, modelonnx.Value{Name: layer + "mlp.down_proj.integers"})
		},
	} {
		if products, one, _ := fusedProducts(name, change); products >= all || one {
			t.Errorf("%s: %d products, one node: %t", name, products, one)
		}
	}
	rows, chunk := layer+"self_attn.rows", layer+"self_attn.chunk"
	for name, change := range map[string]func(m *modelonnx.Model){
		"another scale":                 func(m *modelonnx.Model) { own(m, chunk+".attention").Attributes[2].Float *= 2 },
		"another table":                 func(m *modelonnx.Model) { own(m, rows+".attention").Inputs[7] = "rope.sin" },
		"another layer's":               func(m *modelonnx.Model) { own(m, chunk+".attention").Inputs[3] = "chunk_past_key_values.0.key" },
		"another layer's values":        func(m *modelonnx.Model) { own(m, rows+".attention").Inputs[4] = "past_key_values.0.value" },
		"another layer's chunk":         func(m *modelonnx.Model) { own(m, chunk+".attention").Inputs[4] = "chunk_past_key_values.0.value" },
		"the chunk's lengths":           func(m *modelonnx.Model) { own(m, rows+".attention").Inputs[5] = about.Hybrid.SeqlensK },
		"the longest row for the chunk": func(m *modelonnx.Model) { own(m, chunk+".attention").Inputs[6] = about.TotalSequenceLength },
		"a chunk of the rows": func(m *modelonnx.Model) { // which reads the chunk elsewhere
			n := own(m, chunk+".attention")
			n.Inputs[0], n.Inputs[5] = rows+".qkv", n.Inputs[0]
		},
		"the chunk first":    func(m *modelonnx.Model) { slices.Reverse(own(m, layer+"self_attn").Inputs) },
		"side by side":       func(m *modelonnx.Model) { setInt(own(m, layer+"self_attn"), "axis", 1) },
		"split by another":   func(m *modelonnx.Model) { own(m, rows).Inputs[1] = about.Hybrid.RowsShape },
		"split elsewhere":    func(m *modelonnx.Model) { setInt(own(m, rows), "axis", 1) },
		"a split of nothing": func(m *modelonnx.Model) { own(m, rows).Inputs = nil },
		"another shape":      func(m *modelonnx.Model) { own(m, rows+".qkv").Inputs[1] = about.Hybrid.Split },
		"rows read elsewhere": func(m *modelonnx.Model) {
			m.Graph.Outputs = append(m.Graph.Outputs, modelonnx.Value{Name: chunk + ".flat"})
		},
		"no inputs": func(m *modelonnx.Model) { own(m, rows+".attention").Inputs = nil },
		"a mask":    func(m *modelonnx.Model) { n := own(m, rows+".attention"); n.Inputs[10] = about.SeqlensK },
		"a soft cap of one": func(m *modelonnx.Model) {
			n := own(m, rows+".attention")
			n.Attributes = append(n.Attributes, modelonnx.Real("softcap", 20))
		},
	} {
		if products, _, why := fusedProducts(name, change); products != 0 || !strings.HasPrefix(why, "attention "+layer) {
			t.Errorf("attention with %s: %d products, %q", name, products, why)
		}
	}
}

// TestFuseRow8Bias: a bias is part of a product of the form row8 where it is a row: a column of as many numbers adds another to each
// token, and what has three dimensions makes a result of three.
func TestFuseRow8Bias(t *testing.T) {
	config := row8Case(t, "qwen2", "tied")
	const bias = "model.layers.1.self_attn.qkv_proj.bias"
	biases := func(dims func(n int64) []int64) (n int, one bool) {
		m := readModel(t, config)
		of := tensorNamed(t, &m.Graph, bias)
		of.Dims = dims(of.Dims[0])
		fused, err := fuse(m, config.Graph)
		if _, ok := errors.AsType[*unfusable](err); ok {
			return 0, false
		} else if err != nil {
			t.Fatal(err)
		}
		for _, p := range fused.products {
			if p.biases != "" {
				n++
			}
		}
		return n, fused.decoder != nil
	}
	if n, one := biases(func(n int64) []int64 { return []int64{n} }); n != config.Graph.Layers || !one {
		t.Fatalf("%d biases, one node: %t", n, one)
	}
	for name, dims := range map[string]func(n int64) []int64{
		"a column":         func(n int64) []int64 { return []int64{n, 1} },
		"three dimensions": func(n int64) []int64 { return []int64{1, 1, n} },
	} {
		if n, one := biases(dims); n >= config.Graph.Layers || one {
			t.Errorf("%s: %d biases, one node: %t", name, n, one)
		}
	}
}

// setInt changes an attribute.
func setInt(n *modelonnx.Node, name string, v int64) {
	for i := range n.Attributes {
		if n.Attributes[i].Name == name {
			n.Attributes[i].Int = v
		}
	}
}

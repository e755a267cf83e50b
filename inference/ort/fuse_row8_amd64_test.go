package ort

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder"
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
)

// TestFuseRow8: a graph of the form row8 becomes one node, and what is a little different in the rounding of inputs, in a product or
// in one of a layer's two attentions stays as it is.
func TestFuseRow8(t *testing.T) {
	path := filepath.Join("../model/builder/testdata/architectures", "llama.json")
	cases := readCases(t, path)
	c := cases[slices.IndexFunc(cases, func(c testCase) bool { return c.Name == "llama3 scaling, three heads" })]
	source, err := model.OpenSource(c.write(t))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close() //nolint:errcheck // read only
	dir := t.TempDir()
	manifest, err := builder.Build(t.Context(), source, dir, builder.Options{Quantize: builder.FormRow8, ContextLength: c.Context, Calibration: [][]uint32{{1, 2, 3, 4}}})
	if err != nil {
		t.Fatal(err)
	}
	config, about := Config{Model: filepath.Join(dir, manifest.Graph.File), Graph: manifest.Graph}, manifest.Graph
	const layer = "model.layers.1."
	maker := func(m *modelonnx.Model, value string) *modelonnx.Node {
		for i := range m.Graph.Nodes {
			if slices.Contains(m.Graph.Nodes[i].Outputs, value) {
				n := &m.Graph.Nodes[i]
				n.Inputs, n.Attributes = slices.Clone(n.Inputs), slices.Clone(n.Attributes)
				return n
			}
		}
		t.Fatalf("nothing makes %s", value)
		return nil
	}
	initializer := func(m *modelonnx.Model, name string) *modelonnx.Tensor {
		i := slices.IndexFunc(m.Graph.Initializers, func(t modelonnx.Tensor) bool { return t.Name == name })
		if i < 0 {
			t.Fatalf("there is no %s", name)
		}
		return &m.Graph.Initializers[i]
	}
	fusedProducts := func(name string, change func(m *modelonnx.Model)) (products int, one bool) {
		m := readModel(t, config)
		change(m)
		fused, err := fuse(m, about)
		if err != nil {
			return 0, false
		}
		for _, p := range fused.products {
			if !p.byOutput {
				t.Errorf("%s: a product in blocks", name)
			}
		}
		return len(fused.products), fused.decoder != nil
	}
	all, one := fusedProducts("nothing", func(*modelonnx.Model) {})
	if layers := source.Spec().Layers; all != 4*layers+1 || !one {
		t.Fatalf("%d products, one node: %t", all, one)
	}
	// What all products read, or one.
	for name, change := range map[string]func(m *modelonnx.Model){
		"another step":        func(m *modelonnx.Model) { initializer(m, "row8.step").Raw[0] ^= 1 },
		"another zero":        func(m *modelonnx.Model) { initializer(m, "row8.zero").Raw[0]-- },
		"a large least scale": func(m *modelonnx.Model) { initializer(m, "row8.least").Raw[3] = 0x3f },
		"a negative one":      func(m *modelonnx.Model) { initializer(m, "row8.least").Raw[3] |= 0x80 },
		"another axis":        func(m *modelonnx.Model) { initializer(m, "row8.axis").Raw[0] = 0 },
		"a factor of inputs":  func(m *modelonnx.Model) { initializer(m, "row8.one").Raw[3] ^= 1 },
		"scales of their own": func(m *modelonnx.Model) { maker(m, layer+"self_attn.qkv_proj").Inputs[1] = layer + "mlp.gated.scale" },
		"zeros of the weights": func(m *modelonnx.Model) {
			n := maker(m, layer+"mlp.down_proj.integers")
			n.Inputs = append(n.Inputs, "row8.zero")
		},
		"signed inputs":       func(m *modelonnx.Model) { maker(m, layer+"mlp.down_proj.integers").Inputs[4] = "" },
		"no inputs":           func(m *modelonnx.Model) { maker(m, layer+"mlp.down_proj.integers").Inputs = nil },
		"no inputs of a step": func(m *modelonnx.Model) { maker(m, layer+"mlp.gated.step").Inputs = nil },
		"groups":              func(m *modelonnx.Model) { setInt(maker(m, layer+"mlp.gated.codes"), "block_size", 32) },
		"no magnitude":        func(m *modelonnx.Model) { maker(m, layer+"mlp.gated.magnitude").Op = "Neg" },
		"another's magnitude": func(m *modelonnx.Model) { maker(m, layer+"mlp.gated.magnitude").Inputs[0] = layer + "mlp.act_fn" },
		"weights without bytes": func(m *modelonnx.Model) {
			initializer(m, layer+"mlp.down_proj.weight").External.Length--
		},
		"unsigned weights": func(m *modelonnx.Model) { initializer(m, layer+"mlp.down_proj.weight").Type = modelonnx.Uint8 },
		"integers that are read elsewhere": func(m *modelonnx.Model) {
			m.Graph.Outputs = append(m.Graph.Outputs, modelonnx.Value{Name: layer + "mlp.down_proj.integers"})
		},
	} {
		if products, one := fusedProducts(name, change); products >= all || one {
			t.Errorf("%s: %d products, one node: %t", name, products, one)
		}
	}
	rows, chunk := layer+"self_attn.rows", layer+"self_attn.chunk"
	for name, change := range map[string]func(m *modelonnx.Model){
		"another scale":      func(m *modelonnx.Model) { maker(m, chunk+".attention").Attributes[2].Float *= 2 },
		"another table":      func(m *modelonnx.Model) { maker(m, rows+".attention").Inputs[7] = "rope.sin" },
		"another layer's":    func(m *modelonnx.Model) { maker(m, chunk+".attention").Inputs[3] = "chunk_past_key_values.0.key" },
		"the chunk first":    func(m *modelonnx.Model) { slices.Reverse(maker(m, layer+"self_attn").Inputs) },
		"side by side":       func(m *modelonnx.Model) { setInt(maker(m, layer+"self_attn"), "axis", 1) },
		"split by another":   func(m *modelonnx.Model) { maker(m, rows).Inputs[1] = about.Hybrid.RowsShape },
		"split elsewhere":    func(m *modelonnx.Model) { setInt(maker(m, rows), "axis", 1) },
		"a split of nothing": func(m *modelonnx.Model) { maker(m, rows).Inputs = nil },
		"another shape":      func(m *modelonnx.Model) { maker(m, rows+".qkv").Inputs[1] = about.Hybrid.Split },
		"rows read elsewhere": func(m *modelonnx.Model) {
			m.Graph.Outputs = append(m.Graph.Outputs, modelonnx.Value{Name: chunk + ".flat"})
		},
		"no inputs": func(m *modelonnx.Model) { maker(m, rows+".attention").Inputs = nil },
		"a mask":    func(m *modelonnx.Model) { n := maker(m, rows+".attention"); n.Inputs[10] = "mask" },
		"a soft cap of one": func(m *modelonnx.Model) {
			n := maker(m, rows+".attention")
			n.Attributes = append(n.Attributes, modelonnx.Real("softcap", 20))
		},
	} {
		if products, _ := fusedProducts(name, change); products != 0 {
			t.Errorf("attention with %s: fused", name)
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

package ort

import (
	"encoding/binary"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder"
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
)

// number puts a float without dimensions into the graph.
func (g *smallGraph) number(name string, value float32) {
	raw := binary.LittleEndian.AppendUint32(nil, math.Float32bits(value))
	g.m.Graph.Initializers = append(g.m.Graph.Initializers, modelonnx.Tensor{Name: name, Type: modelonnx.Float, Dims: []int64{}, Raw: raw})
}

// capped divides logits by one number, low or high, and multiplies their tanh with another.
func (g *smallGraph) capped(by, with string) {
	g.number("low", 0.5)
	g.number("high", 0.75)
	g.wanted(smallState, "wanted")
	g.product("wanted", "product", smallHidden, smallVocabulary)
	g.node("Div", []string{"product", by}, []string{"part"})
	g.node("Tanh", []string{"part"}, []string{"tanh"})
	g.node("Mul", []string{"tanh", with}, []string{"logits"})
}

// joined makes products a, of 24 values, and b, of 40, and of two values side by side logits.
func (g *smallGraph) joined(first, second string) {
	widths := map[string]int{"a": 24, "b": 40, smallState: smallHidden}
	g.product(smallState, "a", smallHidden, widths["a"])
	g.product(smallState, "b", smallHidden, widths["b"])
	g.node("Concat", []string{first, second}, []string{"both"}, modelonnx.Int("axis", 1))
	g.wanted("both", "logits")
	g.about.VocabSize = widths[first] + widths[second]
}

// TestFuseCap: what bounds a product softly becomes a part of it, and what only looks like it does not.
func TestFuseCap(t *testing.T) {
	capped := func(change func(g *smallGraph)) bool {
		g := newSmallGraph(func(g *smallGraph) { g.capped("low", "low") })
		change(g)
		fused, err := fuse(&g.m, g.about)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(fused.products, func(p fusedProduct) bool { return p.cap != 0 })
	}
	swap := func(n *modelonnx.Node) { slices.Reverse(n.Inputs) }
	if !capped(func(*smallGraph) {}) || !capped(func(g *smallGraph) { swap(g.maker("logits")) }) {
		t.Error("a soft cap is none")
	}
	for name, change := range map[string]func(g *smallGraph){
		"another number":       func(g *smallGraph) { g.maker("logits").Inputs[1] = "high" },
		"a number over it":     func(g *smallGraph) { swap(g.maker("part")) },
		"a number below zero":  func(g *smallGraph) { g.initializer("low").Raw[3] |= 0x80 },
		"infinity":             func(g *smallGraph) { copy(g.initializer("low").Raw, []byte{0, 0, 0x80, 0x7f}) },
		"no number":            func(g *smallGraph) { copy(g.initializer("low").Raw, []byte{0, 0, 0xc0, 0x7f}) },
		"numbers":              func(g *smallGraph) { g.initializer("low").Dims = []int64{1, 1, 1} },
		"a sine":               func(g *smallGraph) { g.maker("tanh").Op = "Sin" },
		"no second number":     func(g *smallGraph) { g.maker("logits").Inputs[1] = "tanh" },
		"what is read between": func(g *smallGraph) { g.m.Graph.Outputs = append(g.m.Graph.Outputs, modelonnx.Value{Name: "tanh"}) },
	} {
		if capped(change) {
			t.Errorf("%s: a soft cap", name)
		}
	}
}

// normChanges are changes of layer 1 of a model with norms of queries and keys.
type normChanges map[string]func(t *testing.T, g *modelonnx.Graph)

// TestFuseNorms: norms of queries and keys become a part of attention, and what only looks like them does not.
func TestFuseNorms(t *testing.T) {
	changesOf := map[string]normChanges{
		"qwen3": {
			"one epsilon": func(t *testing.T, g *modelonnx.Graph) {
				n := maker(t, g, "model.layers.1.self_attn.k_norm")
				n.Attributes = slices.Clone(n.Attributes)
				n.Attributes[0].Float *= 2
			},
			"another axis": func(t *testing.T, g *modelonnx.Graph) {
				n := maker(t, g, "model.layers.1.self_attn.q_norm")
				n.Attributes = []modelonnx.Attribute{modelonnx.Int("axis", 0)}
			},
			"another weight": func(t *testing.T, g *modelonnx.Graph) {
				maker(t, g, "model.layers.1.self_attn.q_norm").Inputs[1] = "model.layers.1.input_layernorm.weight"
			},
			"heads of another size": func(t *testing.T, g *modelonnx.Graph) {
				maker(t, g, "model.layers.1.self_attn.q_norm.heads").Inputs[1] = "flat_192"
			},
			"values first": func(t *testing.T, g *modelonnx.Graph) {
				slices.Reverse(maker(t, g, "model.layers.1.self_attn.qkv").Inputs)
			},
			"keys from values": func(t *testing.T, g *modelonnx.Graph) {
				maker(t, g, "model.layers.1.self_attn.k_norm.heads").Inputs[0] = "model.layers.1.self_attn.values"
			},
			"side by side in another way": func(t *testing.T, g *modelonnx.Graph) {
				maker(t, g, "model.layers.1.self_attn.qkv").Attributes = []modelonnx.Attribute{modelonnx.Int("axis", 0)}
			},
			"a norm that is read elsewhere": func(t *testing.T, g *modelonnx.Graph) {
				g.Outputs = append(g.Outputs, modelonnx.Value{Name: "model.layers.1.self_attn.q_norm"})
			},
		},
		"olmo2": {
			"of another product": func(t *testing.T, g *modelonnx.Graph) {
				maker(t, g, "model.layers.1.self_attn.q_norm").Op = "LayerNormalization"
			},
			"one of heads": func(t *testing.T, g *modelonnx.Graph) {
				maker(t, g, "model.layers.1.self_attn.k_norm").Inputs[1] = "model.layers.1.self_attn.q_norm.weight"
			},
		},
	}
	for architecture, changes := range changesOf {
		checkNorms(t, architecture, builder.FormInt8, changes)
	}
	// Of products that lie apart, attention reads what is put side by side in the place of the norms' results.
	for architecture := range changesOf {
		checkNorms(t, architecture, builder.FormAuto, normChanges{
			"rows that are read elsewhere": func(t *testing.T, g *modelonnx.Graph) {
				maker(t, g, "model.layers.1.self_attn.rows")
				g.Outputs = append(g.Outputs, modelonnx.Value{Name: "model.layers.1.self_attn.rows"})
			},
		})
	}
}

// checkNorms builds an architecture's first case, and checks that its norms are fused but those of layer 1 after a change.
// With [builder.FormAuto] queries, keys and values are products of their own.
func checkNorms(t *testing.T, architecture string, form builder.Form, changes normChanges) {
	t.Helper()
	c := readCases(t, filepath.Join("../model/builder/testdata/architectures", architecture+".json"))[0]
	source, err := model.OpenSource(c.write(t))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close() //nolint:errcheck // read only
	if form == builder.FormAuto {
		source = &mixed{source, []string{".k_proj."}}
	}
	dir := t.TempDir()
	m, err := builder.Build(t.Context(), source, dir, builder.Options{Quantize: form})
	if err != nil {
		t.Fatal(err)
	}
	config := Config{Model: filepath.Join(dir, m.Graph.File)}
	changes["nothing"] = func(*testing.T, *modelonnx.Graph) {}
	for name, change := range changes {
		g := readModel(t, config)
		change(t, &g.Graph)
		fused, err := fuse(g, m.Graph)
		if err != nil {
			t.Fatalf("%s, %s: %v", architecture, name, err)
		}
		for i, a := range fused.layers {
			if normed := i != 1 || name == "nothing"; normed != (a.queryNorm != "") || normed != (a.keyNorm != "") {
				t.Errorf("%s, %s: layer %d has the norms %q and %q", architecture, name, i, a.queryNorm, a.keyNorm)
			}
		}
		if whole := name == "nothing"; whole != (fused.decoder != nil) {
			t.Errorf("%s, %s: one node: %t", architecture, name, !whole)
		}
	}
}

// tensorNamed finds an initializer.
func tensorNamed(t *testing.T, g *modelonnx.Graph, name string) *modelonnx.Tensor {
	t.Helper()
	i := slices.IndexFunc(g.Initializers, func(t modelonnx.Tensor) bool { return t.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	return &g.Initializers[i]
}

// maker finds the node that makes a value.
func maker(t *testing.T, g *modelonnx.Graph, value string) *modelonnx.Node {
	t.Helper()
	i := slices.IndexFunc(g.Nodes, func(n modelonnx.Node) bool { return n.Outputs[0] == value })
	if i < 0 {
		t.Fatalf("nothing makes %s", value)
	}
	return &g.Nodes[i]
}

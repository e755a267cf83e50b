package ort

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
	"github.com/sluiceml/sluice/inference/runner"
)

// hostileGraphs are no graphs by ONNX's rules: some name is that of two values, or is read before it is made.
var hostileGraphs = map[string]func() *smallGraph{
	// The product to b is 4096 values wide, and what has its name afterwards, 64.
	"a value made twice":  func() *smallGraph { return newSmallGraph(func(g *smallGraph) { g.twice("b") }) },
	"an input made":       func() *smallGraph { return newSmallGraph(func(g *smallGraph) { g.twice("logits_idx") }) },
	"an initializer made": func() *smallGraph { return newSmallGraph(func(g *smallGraph) { g.twice("gain") }) },
	"a value of the same node": func() *smallGraph {
		return newSmallGraph(func(g *smallGraph) { g.head(); g.maker(smallState).Outputs[3] = smallState })
	},
	"two initializers": func() *smallGraph {
		g := newSmallGraph(nil)
		g.m.Graph.Initializers = append(g.m.Graph.Initializers, modelonnx.Tensor{
			Name: "gain2", Type: modelonnx.Float, Dims: []int64{smallHidden / 2}, External: &modelonnx.External{Location: "other.data", Length: smallHidden * 2},
		})
		return g
	},
	"an input that is an initializer": func() *smallGraph {
		g := newSmallGraph(nil)
		g.m.Graph.Inputs = append(g.m.Graph.Inputs, modelonnx.Value{Name: "gain2", Type: modelonnx.Float, Shape: []modelonnx.Dim{modelonnx.Fixed(smallHidden)}})
		return g
	},
	"read before it is made": func() *smallGraph {
		return newSmallGraph(func(g *smallGraph) {
			g.node("Add", []string{smallState, "later"}, []string{"both"})
			g.product(smallState, "later", smallHidden, smallHidden)
			g.wanted("both", "wanted")
			g.product("wanted", "logits", smallHidden, smallVocabulary)
		})
	},
	"read and never made": func() *smallGraph {
		return newSmallGraph(func(g *smallGraph) {
			g.node("Add", []string{smallState, "nothing"}, []string{"both"})
			g.wanted("both", "wanted")
			g.product("wanted", "logits", smallHidden, smallVocabulary)
		})
	},
	"another list of tokens": func() *smallGraph {
		g := newSmallGraph(nil)
		g.maker("attended_rows").Inputs = []string{"x", "attended_shape", "attended"}
		return g
	},
	"a shape in a file and in the graph": func() *smallGraph {
		g := newSmallGraph(nil)
		g.initializer("attended_shape").External = &modelonnx.External{Location: g.about.Data, Length: 16}
		return g
	},
}

// twice makes a wide value and, unless it is of another name, a narrow one over it.
func (g *smallGraph) twice(name string) {
	const wide = 4096
	g.product(smallState, "b", smallHidden, wide)
	g.product("b", "c", wide, smallHidden)
	g.node("SimplifiedLayerNormalization", []string{"c", "gain"}, []string{name})
	g.wanted(name, "wanted")
	g.product("wanted", "logits", smallHidden, smallVocabulary)
}

// TestFuseSmall: what the tests here change is one node as it is.
func TestFuseSmall(t *testing.T) {
	for name, g := range map[string]*smallGraph{
		"a head": newSmallGraph(nil), "a head of row8": newSmallGraph((*smallGraph).rounded), "wide products": newSmallGraph(func(g *smallGraph) { g.twice("d") }),
	} {
		if fused, err := fuse(&g.m, g.about); err != nil || fused.decoder == nil || len(fused.decoder.nodes) != 3 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFuseRefusesNoGraphs: what is no graph by ONNX's rules is left to ONNX Runtime, which checks them.
func TestFuseRefusesNoGraphs(t *testing.T) {
	graphs := maps.Clone(hostileGraphs)
	graphs["a result without a name"] = func() *smallGraph { // which ONNX Runtime does not look for before it runs
		return newSmallGraph(func(g *smallGraph) {
			g.head()
			g.maker(smallState).Outputs[0] = ""
			g.maker("wanted").Inputs[0] = "sum"
		})
	}
	// A name that is left out is that of no value: not of its rank, of a node that makes it, nor of a number.
	graphs["an initializer without a name"] = func() *smallGraph {
		g := newSmallGraph((*smallGraph).rounded)
		g.number("", 1.0/127)
		g.maker("step").Inputs = nil
		return g
	}
	graphs["an input without a name"] = func() *smallGraph {
		g := newSmallGraph(nil)
		g.m.Graph.Inputs = append(g.m.Graph.Inputs, modelonnx.Value{Type: modelonnx.Float, Shape: make([]modelonnx.Dim, 2)})
		g.maker("qkv_rows").Inputs = nil
		return g
	}
	graphs["a part that is left out, and a Reshape of nothing"] = func() *smallGraph {
		g := newSmallGraph(nil)
		split := modelonnx.Node{Op: "Split", Inputs: []string{"embedding"}, Outputs: []string{"half", ""}, Attributes: []modelonnx.Attribute{modelonnx.Int("num_outputs", 2)}}
		g.m.Graph.Nodes = slices.Insert(g.m.Graph.Nodes, 0, split)
		g.maker("qkv_rows").Inputs = nil
		return g
	}
	graphs["a sum that is left out, and a Reshape of nothing"] = func() *smallGraph {
		g := newSmallGraph(nil)
		g.maker(smallState).Outputs[3] = ""
		g.maker("qkv_rows").Inputs = nil
		return g
	}
	for name, of := range graphs {
		g := of()
		if _, err := fuse(&g.m, g.about); err == nil {
			t.Errorf("%s: fused", name)
		} else if _, ok := errors.AsType[*unfusable](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// rounded is a head of the form row8, whose inputs are rounded by step.
func (g *smallGraph) rounded() {
	g.m.Graph.Initializers = append(g.m.Graph.Initializers, modelonnx.Tensor{Name: "zero", Type: modelonnx.Uint8, Dims: []int64{}, Raw: []byte{128}})
	g.number("unit", 1)
	g.number("by", 1.0/127)
	g.number("least", 1e-8)
	g.numbers("last_axis", 1)
	g.weight("logits.codes", modelonnx.Int8, make([]byte, smallHidden*smallVocabulary), smallHidden, smallVocabulary)
	g.floats("logits.scales", func(int) float32 { return 1 }, smallVocabulary)
	g.wanted(smallState, "wanted")
	g.node("Abs", []string{"wanted"}, []string{"magnitude"})
	g.node("ReduceMax", []string{"magnitude", "last_axis"}, []string{"largest"}, modelonnx.Int("keepdims", 1))
	g.node("Mul", []string{"largest", "by"}, []string{"step"})
	g.node("Max", []string{"step", "least"}, []string{"scale"})
	g.node("Shape", []string{"scale"}, []string{"scale_shape"})
	g.node("Expand", []string{"zero", "scale_shape"}, []string{"zeros"})
	g.node("QuantizeLinear", []string{"wanted", "scale", "zeros"}, []string{"codes"}, modelonnx.Int("axis", 1), modelonnx.Int("block_size", smallHidden))
	g.node("MatMulIntegerToFloat", []string{"codes", "logits.codes", "unit", "logits.scales", "zero"}, []string{"integers"})
	g.node("Mul", []string{"integers", "scale"}, []string{"logits"})
}

// TestRanks: of a value that may have any number of dimensions, none is known.
func TestRanks(t *testing.T) {
	shaped := func(name string, dims int) modelonnx.Value {
		return modelonnx.Value{Name: name, Type: modelonnx.Float, Shape: make([]modelonnx.Dim, dims)}
	}
	g := modelonnx.Graph{
		Inputs: []modelonnx.Value{shaped("a", 2), shaped("b", 1), shaped("c", 3), {Name: "any", AnyShape: true}},
		Nodes: []modelonnx.Node{
			{Op: "Max", Inputs: []string{"a", "b"}, Outputs: []string{"of two"}},
			{Op: "Max", Inputs: []string{"a", "b", "c"}, Outputs: []string{"of three"}},
			{Op: "Max", Inputs: []string{"a"}, Outputs: []string{"of one"}},
			{Op: "Add", Inputs: []string{"a", "any"}, Outputs: []string{"of any"}},
			{Op: "Split", Inputs: []string{"a"}, Outputs: []string{"part", ""}},
		},
	}
	want := map[string]int{"a": 2, "b": 1, "c": 3, "of two": 2, "part": 2}
	if got := ranks(&g); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestOpenHostile: a session on such a graph is refused, or runs on ONNX Runtime's own operators.
func TestOpenHostile(t *testing.T) {
	env := openEnvironment(t)
	for name, of := range hostileGraphs {
		s, err := env.Open(of().write(t))
		if err != nil {
			continue
		}
		if _, ok := s.executor.(*native); ok {
			t.Errorf("%s: runs on the kernels", name)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestDecodeRefuses: decode by itself, of nodes that are fused already, makes no program whose values share a name, or that
// leaves attention out.
func TestDecodeRefuses(t *testing.T) {
	const qkv = (smallHeads + 2) * smallSize
	about := model.DefaultGraph(model.Spec{Layers: 1, KVHeads: 1, HeadSize: smallSize, VocabSize: smallVocabulary})
	decode := func(layers int, nodes ...modelonnx.Node) *decoder {
		norm := modelonnx.Node{Op: "SimplifiedLayerNormalization", Inputs: []string{"x", "gain"}, Outputs: []string{"normed"}}
		m := &modelonnx.Model{Graph: modelonnx.Graph{Nodes: append([]modelonnx.Node{norm}, nodes...), Outputs: []modelonnx.Value{{Name: "logits"}}}}
		f := &fuser{
			about: about, fused: fusedGraph{model: m, layers: make([]fusedAttention, layers), heads: smallHeads},
			initializers: map[string]*modelonnx.Tensor{"gain": {
				Name: "gain", Type: modelonnx.Float, Dims: []int64{smallHidden}, External: &modelonnx.External{Length: 4 * smallHidden},
			}},
		}
		widths := map[string]int{"normed": smallHidden, "wide": 4096, "narrow": smallHidden, "wanted": smallHidden, "qkv": qkv, "odd": 24, "attended": qkv / 2}
		widths["logits"] = smallVocabulary
		for i := range m.Graph.Nodes {
			switch n := &m.Graph.Nodes[i]; n.Op {
			case kernels.BlockMatMul:
				f.fused.products = append(f.fused.products, fusedProduct{node: n, in: widths[n.Inputs[0]], out: widths[n.Outputs[0]]})
			case kernels.SlotAttention:
				f.fused.layers[0].node = n
			}
		}
		return f.decode()
	}
	product := func(from, to string) modelonnx.Node {
		return modelonnx.Node{Op: kernels.BlockMatMul, Domain: kernels.Domain, Inputs: []string{from}, Outputs: []string{to}}
	}
	attention := modelonnx.Node{Op: kernels.SlotAttention, Domain: kernels.Domain, Inputs: []string{"qkv"}, Outputs: []string{"attended"}}
	wanted := func(from, to string) modelonnx.Node {
		return modelonnx.Node{Op: "Gather", Inputs: []string{from, about.LogitsIndices}, Outputs: []string{to}}
	}
	norm := func(from string, to ...string) modelonnx.Node {
		return modelonnx.Node{Op: "SimplifiedLayerNormalization", Inputs: []string{from, "gain"}, Outputs: to}
	}
	add := func(a, b, to string) modelonnx.Node {
		return modelonnx.Node{Op: "Add", Inputs: []string{a, b}, Outputs: []string{to}}
	}
	if decode(0, product("normed", "wide"), product("wide", "narrow"), norm("narrow", "last"), wanted("last", "wanted"), product("wanted", "logits")) == nil {
		t.Fatal("a decoder is none")
	}
	for name, d := range map[string]*decoder{
		"a value made twice":     decode(0, product("normed", "wide"), product("wide", "narrow"), norm("narrow", "wide"), wanted("wide", "wanted"), product("wanted", "logits")),
		"the input made":         decode(0, product("normed", "wide"), product("wide", "narrow"), norm("narrow", "x"), wanted("x", "wanted"), product("wanted", "logits")),
		"no name":                decode(0, product("normed", "wide"), product("wide", "narrow"), norm("narrow", ""), wanted("narrow", "wanted"), product("wanted", "logits")),
		"a choice of 24 values":  decode(0, product("normed", "odd"), wanted("odd", "logits")),
		"a sum of 24 values":     decode(0, product("normed", "odd"), add("odd", "odd", "sum"), wanted("sum", "logits")),
		"a sum of three":         decode(0, modelonnx.Node{Op: "Add", Inputs: []string{"normed", "normed", "normed"}, Outputs: []string{"sum"}}, wanted("sum", "logits")),
		"attention of some rows": decode(1, wanted("normed", "wanted"), product("wanted", "qkv"), attention, product("attended", "logits")),
	} {
		if d != nil {
			t.Errorf("%s: one node of %v", name, d.actions)
		}
	}
}

// TestGateReadsItsProduct: a Split of something else, of which the product is an input that is not looked at, and a Mul of three
// are no gate.
func TestGateReadsItsProduct(t *testing.T) {
	gated := func(change func(g *smallGraph)) bool {
		g := newSmallGraph(func(g *smallGraph) {
			g.product(smallState, "both", smallHidden, 2*smallHidden)
			g.node("Split", []string{"both"}, []string{"gate", "other"}, modelonnx.Int("axis", 1), modelonnx.Int("num_outputs", 2))
			g.node("QuickGelu", []string{"gate"}, []string{"act"}, modelonnx.Real("alpha", 1))
			g.node("Mul", []string{"act", "other"}, []string{"gated"})
			change(g)
			g.wanted("gated", "wanted")
			g.product("wanted", "logits", smallHidden, smallVocabulary)
		})
		fused, err := fuse(&g.m, g.about)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(fused.products, func(p fusedProduct) bool { return p.gate != kernels.NoGate })
	}
	if !gated(func(*smallGraph) {}) {
		t.Error("a gate is none")
	}
	for name, change := range map[string]func(g *smallGraph){
		"a Split of something else": func(g *smallGraph) { g.maker("gate").Inputs = []string{smallState, "", "both"} },
		"a Mul of three":            func(g *smallGraph) { g.maker("gated").Inputs = []string{"act", "other", smallState} },
		"an activation of another":  func(g *smallGraph) { g.maker("act").Inputs = []string{smallState, "gate"} },
	} {
		if gated(change) {
			t.Errorf("%s: a gate", name)
		}
	}
}

// TestUnusualRunsNodeByNode: a graph that may be, but has rows of no whole vectors where the decoder's actions want them, or a
// norm's weight in another file, runs node by node, and gives what it gives on ONNX Runtime's operators.
func TestUnusualRunsNodeByNode(t *testing.T) {
	const odd = 24
	env := openEnvironment(t)
	choice := func(g *smallGraph) {
		g.about.VocabSize = odd
		g.product(smallState, "a", smallHidden, odd)
		g.wanted("a", "logits")
	}
	sum := func(g *smallGraph) {
		g.about.VocabSize = odd
		g.product(smallState, "a", smallHidden, odd)
		g.product(smallState, "b", smallHidden, odd)
		g.node("Add", []string{"a", "b"}, []string{"both"})
		g.wanted("both", "logits")
	}
	const other = "other.data"
	elsewhere := newSmallGraph(nil)
	gain := elsewhere.initializer("gain2").External
	values := slices.Clone(elsewhere.data[gain.Offset:][:gain.Length])
	gain.Location, gain.Offset = other, 0
	for name, c := range map[string]struct {
		g     *smallGraph
		whole bool // one node
	}{
		"a head":                          {newSmallGraph(nil), true},
		"a choice of 24 values":           {newSmallGraph(choice), false},
		"a sum of 24 values":              {newSmallGraph(sum), false},
		"a norm's weight in another file": {elsewhere, false},
		"a soft cap":                      {newSmallGraph(func(g *smallGraph) { g.capped("low", "low") }), true},
		"two numbers in place of a cap":   {newSmallGraph(func(g *smallGraph) { g.capped("low", "high") }), true}, // but for what follows
		"products side by side":           {newSmallGraph(func(g *smallGraph) { g.joined("a", "b") }), true},
		"products the other way round":    {newSmallGraph(func(g *smallGraph) { g.joined("b", "a") }), false},
		"a product beside itself":         {newSmallGraph(func(g *smallGraph) { g.joined("b", "b") }), false},
		"a product and a norm":            {newSmallGraph(func(g *smallGraph) { g.joined("b", smallState) }), false},
	} {
		t.Run(name, func(t *testing.T) {
			config := c.g.write(t)
			if err := os.WriteFile(filepath.Join(filepath.Dir(config.Model), other), values, 0o600); err != nil {
				t.Fatal(err)
			}
			s, n := openNative(t, env, config)
			if whole := n.packed.program != nil; whole != c.whole {
				t.Errorf("one node: %t", whole)
			}
			config.NoKernels = true
			plain := openSession(t, env, config)
			st := runner.Step{Chunks: []runner.Chunk{{Tokens: []uint32{3, 1, 4, 1, 5, 9, 2, 6, 5}, Rows: true}}}
			got, want := step(t, s, st).Rows, step(t, plain, st).Rows
			for i := range got {
				if d := divergence(want[i], got[i]); !(d < 0.01) {
					t.Errorf("row %d: a KL divergence of %v", i, d)
				}
			}
		})
	}
}

// TestOtherVocabulary: a graph whose logits are of another width than its manifest says is an error.
func TestOtherVocabulary(t *testing.T) {
	env := openEnvironment(t)
	for _, vocabulary := range []int{1, smallVocabulary - 1, smallVocabulary + 1, 10 * smallVocabulary} {
		config := newSmallGraph(nil).write(t)
		config.Graph.VocabSize = vocabulary
		if s, err := env.Open(config); err == nil {
			t.Errorf("%d tokens: opened", vocabulary)
			_ = s.Close()
		}
	}
}

package ort

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
	"github.com/sluiceml/sluice/inference/runner"
)

func (n *native) lastLane() *lane { return n.lane }

func (n *native) spoil() {
	const nan = 0x7e00
	for _, buffer := range n.slots.buffers {
		for i := range buffer {
			buffer[i] = nan
		}
	}
}

// openNative opens the default model on the kernels.
func openNative(t *testing.T, env *Environment, config Config) (*Session, *native) {
	t.Helper()
	if !kernels.Supported() {
		t.Skip("this processor has no AVX-512 VNNI")
	}
	s := openSession(t, env, config)
	n, ok := s.executor.(*native)
	if !ok {
		t.Fatal("the default model does not run on the kernels")
	}
	return s, n
}

// TestNativeNearOperators: the kernels give nearly the logits that ONNX Runtime's own operators give. Both round
// activations to 8 bits; how near each comes to float32 is told in docs/benchmarks.md.
func TestNativeNearOperators(t *testing.T) {
	config := realConfig(t)
	env := openEnvironment(t)
	s, _ := openNative(t, env, config)
	config.NoKernels = true
	plain := openSession(t, env, config)
	if plain.executor != nil {
		t.Fatal("kernels run that were turned off")
	}
	tokens := benchmarkPrompt(config)
	sum, n := 0.0, 0
	for past := 0; past < len(tokens); past += 16 {
		st := runner.Step{Chunks: []runner.Chunk{{Tokens: tokens[past : past+16], Past: past, Rows: true}}}
		got, want := step(t, s, st).Rows, step(t, plain, st).Rows
		for i := range got {
			sum += divergence(want[i], got[i])
			n++
		}
	}
	if mean := sum / float64(n); !(mean > 0 && mean < 0.05) {
		t.Errorf("a mean KL divergence of %v over random tokens", mean)
	}
}

// TestNativeDecodedPositions: the keys and values that decoding leaves are those that the same tokens leave as part of a
// prompt, and so are the logits, bit by bit.
func TestNativeDecodedPositions(t *testing.T) {
	const length, decoded = 60, 41
	config := realConfig(t)
	s, n := openNative(t, openEnvironment(t), config)
	tokens := prompt(rand.New(rand.NewPCG(21, 22)), config.Graph.VocabSize, length+decoded)
	prefill(t, s, 0, 0, tokens[:length], 64)
	var last []float32
	for i, token := range tokens[length:] {
		last = step(t, s, runner.Step{Decode: []runner.DecodeRow{{Token: token, Past: length + i}}}).Decode[0]
	}
	last = slices.Clone(last)
	if whole := prefill(t, s, 1, 0, tokens, 128); !slices.Equal(whole, last) {
		t.Error("the logits differ")
	}
	for i := range n.slots.buffers {
		a, b := n.slots.view(i, 0, 1), n.slots.view(i, 1, 2)
		for head := 0; head < len(a); head += n.slots.head {
			whole := head + (length+decoded)/kernels.PositionUnit*kernels.PositionUnit*n.slots.width
			if !slices.Equal(a[head:whole], b[head:whole]) {
				t.Fatalf("buffer %d differs", i)
			}
		}
	}
}

// TestNativeThreads: the number of threads does not show.
func TestNativeThreads(t *testing.T) {
	config := realConfig(t)
	env := openEnvironment(t)
	var first []float32
	for threads := 1; threads <= 3; threads++ {
		config.Device.Threads = threads
		s, _ := openNative(t, env, config)
		got := prefill(t, s, 0, 0, benchmarkPrompt(config), 128)
		if first == nil {
			first = got
		}
		if !slices.Equal(got, first) {
			t.Errorf("the logits of %d threads differ", threads)
		}
	}
}

// TestNativeSaveWithinGroup: keys lie in groups of positions, so what starts within one cannot be copied.
func TestNativeSaveWithinGroup(t *testing.T) {
	config := realConfig(t)
	config.PrefixBytes = 4 << 20
	s, _ := openNative(t, openEnvironment(t), config)
	tokens := prompt(rand.New(rand.NewPCG(23, 24)), config.Graph.VocabSize, 2*runner.BlockSize)
	prefill(t, s, 0, 0, tokens, 64)
	if err := s.SaveBlocks(0, runner.BlockSize/2, []int{0}); err == nil {
		t.Error("a block that starts within a group of keys was saved")
	}
	if err := s.SaveBlocks(0, runner.BlockSize, []int{0}); err != nil {
		t.Error(err)
	}
}

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
		"a window": func(m *modelonnx.Model) {
			attention(m).Attributes = append(attention(m).Attributes, modelonnx.Int("local_window_size", 128))
		},
		"a window that is no integer": func(m *modelonnx.Model) {
			attention(m).Attributes = append(attention(m).Attributes, modelonnx.Real("local_window_size", 128))
		},
		"a soft cap": func(m *modelonnx.Model) {
			attention(m).Attributes = append(attention(m).Attributes, modelonnx.Real("softcap", 50))
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
		"other sines": func(m *modelonnx.Model) {
			const sines = 8
			for _, tensor := range m.Graph.Initializers {
				if tensor.Name == attention(m).Inputs[sines] {
					tensor.Name = "others"
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

// TestWeightsPackOnDemand: without the kernels, their copy of the weights is not made.
func TestWeightsPackOnDemand(t *testing.T) {
	if !kernels.Supported() {
		t.Skip("this processor has no AVX-512 VNNI")
	}
	config := realConfig(t)
	config.Slots, config.MaxLength, config.MaxChunk, config.NoKernels = 1, 64, 16, true
	env := openEnvironment(t)
	w, err := env.ShareWeights(config.Model, config.Graph)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	config.Weights = w
	openSession(t, env, config)
	if w.mu.packed != nil {
		t.Error("packed for a session without kernels")
	}
	if p, err := w.kernels(); err != nil || p == nil {
		t.Errorf("not packed for the kernels: %v", err)
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

// divergence is the KL divergence of the distributions of logits.
func divergence(want, got []float32) float64 {
	p, q := logSoftmax(want), logSoftmax(got)
	sum := 0.0
	for i := range p {
		sum += math.Exp(p[i]) * (p[i] - q[i])
	}
	return sum
}

func logSoftmax(logits []float32) []float64 {
	most, sum := float64(slices.Max(logits)), 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - most)
	}
	out := make([]float64, len(logits))
	for i, v := range logits {
		out[i] = float64(v) - most - math.Log(sum)
	}
	return out
}

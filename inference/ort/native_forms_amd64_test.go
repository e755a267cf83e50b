package ort

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder"
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
	"github.com/sluiceml/sluice/inference/runner"
)

// TestNativeAttention: windows and soft caps mean what they mean to ONNX Runtime's operator. One position more or less shows
// in a window of three.
func TestNativeAttention(t *testing.T) {
	const layer = 12 // one of 30: with windows in all of them nothing is left of the model but noise
	env := openEnvironment(t)
	for name, attributes := range map[string][]modelonnx.Attribute{
		"a window of 3":      {modelonnx.Int("local_window_size", 3)},
		"a window of 40":     {modelonnx.Int("local_window_size", 40)},
		"a soft cap":         {modelonnx.Real("softcap", 5)},
		"a window and a cap": {modelonnx.Int("local_window_size", 30), modelonnx.Real("softcap", 20)},
	} {
		t.Run(name, func(t *testing.T) {
			config := realConfig(t)
			m := readModel(t, config)
			for i := range m.Graph.Nodes {
				if n := &m.Graph.Nodes[i]; n.Op == "GroupQueryAttention" && input(n, 3) == fmt.Sprintf(config.Graph.PastKey, layer) {
					n.Attributes = append(n.Attributes, attributes...)
				}
			}
			config = writeModel(t, config, m)
			s, _ := openNative(t, env, config)
			config.NoKernels = true
			plain := openSession(t, env, config)
			tokens := benchmarkPrompt(config)[:64]
			sum := 0.0
			for past := 0; past < len(tokens); past += runner.MaxRows {
				st := runner.Step{Chunks: []runner.Chunk{{Tokens: tokens[past : past+runner.MaxRows], Past: past, Rows: true}}}
				got, want := step(t, s, st).Rows, step(t, plain, st).Rows
				for i := range got {
					sum += divergence(want[i], got[i])
				}
			}
			if mean := sum / float64(len(tokens)); !(mean < 0.04) {
				t.Errorf("a mean KL divergence of %v", mean)
			}
		})
	}
}

// TestNodeByNode: a graph that is not one node gives the logits that it gives as one, but for how norms round.
func TestNodeByNode(t *testing.T) {
	config := realConfig(t)
	env := openEnvironment(t)
	whole, _ := openNative(t, env, config)
	w := shareWeights(t, env, config)
	for i := range w.graph.Graph.Nodes { // which decoders do not know
		if n := &w.graph.Graph.Nodes[i]; n.Op == "SkipSimplifiedLayerNormalization" {
			n.Outputs[1] = "mean" + n.Name
			break
		}
	}
	config.Weights = w
	nodes, n := openNative(t, env, config)
	if n.packed.program != nil {
		t.Fatal("the graph is one node")
	}
	st := runner.Step{Chunks: []runner.Chunk{{Tokens: benchmarkPrompt(config)[:runner.MaxRows], Rows: true}}}
	got, want := step(t, nodes, st).Rows, step(t, whole, st).Rows
	for i := range got {
		if d := divergence(want[i], got[i]); !(d < 0.05) {
			t.Errorf("row %d: a KL divergence of %v", i, d)
		}
	}
}

// TestNativeBlocks: weights in blocks of other lengths than 32 run on the kernels, and mean what they mean to ONNX Runtime's
// operator.
func TestNativeBlocks(t *testing.T) {
	env := openEnvironment(t)
	for _, options := range []builder.Options{
		{Quantize: builder.FormInt4, BlockSize: 16}, {Quantize: builder.FormInt8, BlockSize: 64},
	} {
		t.Run(fmt.Sprintf("%s in blocks of %d", options.Quantize, options.BlockSize), func(t *testing.T) {
			source, err := model.OpenSource(filepath.Join(cacheHome(t), "downloads", "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf"))
			if err != nil {
				t.Fatalf("%v: run `make setup`", err)
			}
			defer source.Close() //nolint:errcheck // read only
			dir := t.TempDir()
			m, err := builder.Build(t.Context(), source, dir, options)
			if err != nil {
				t.Fatal(err)
			}
			config := realConfig(t)
			config.Model, config.Graph = filepath.Join(dir, m.Graph.File), m.Graph
			s, n := openNative(t, env, config)
			if products := 4*config.Graph.Layers + 1; len(n.packed.products) != products || n.packed.program == nil {
				t.Errorf("%d of %d products", len(n.packed.products), products)
			}
			config.NoKernels = true
			plain := openSession(t, env, config)
			st := runner.Step{Chunks: []runner.Chunk{{Tokens: benchmarkPrompt(config)[:runner.MaxRows], Rows: true}}}
			got, want, sum := step(t, s, st).Rows, step(t, plain, st).Rows, 0.0
			for i := range got {
				sum += divergence(want[i], got[i])
			}
			// ONNX Runtime rounds inputs by the weights' blocks, and the kernels by at most 32: of 64 that is another
			// result by 0.1.
			if mean := sum / float64(len(got)); !(mean < 0.2) {
				t.Errorf("a mean KL divergence of %v", mean)
			}
		})
	}
}

// writeModel writes a changed graph of a model into a folder of its own, beside a copy of the weights: ONNX Runtime follows no
// links out of a folder.
func writeModel(t *testing.T, config Config, m *modelonnx.Model) Config {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile(filepath.Join(filepath.Dir(config.Model), config.Graph.Data))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, config.Graph.Data), data, 0o600); err != nil {
		t.Fatal(err)
	}
	config.Model = filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(config.Model, m.Marshal(), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// TestHybridFallback: a hybrid graph that is a little different from those that the kernels know runs as it is on a processor that has
// them, with weights of its own and with shared ones, and gives the same when its memory has been renewed.
func TestHybridFallback(t *testing.T) {
	if !kernels.Supported() {
		t.Skip("this processor has neither AVX2 nor AVX-512 VNNI")
	}
	const lengths = 5
	env := openEnvironment(t)
	config := row8Case(t, "llama", "llama3 scaling, three heads")
	if _, ok := openSession(t, env, config).executor.(*native); !ok {
		t.Error("the graph as it was built does not run on the kernels")
	}
	m := readModel(t, config)
	tensorNamed(t, &m.Graph, "row8.zero").Raw[0]-- // of products that round their inputs, and of those that multiply the codes
	m.Graph.Nodes = slices.Insert(m.Graph.Nodes, 0, modelonnx.Node{Op: "Identity", Inputs: []string{config.Graph.SeqlensK}, Outputs: []string{"lengths"}})
	maker(t, &m.Graph, "model.layers.1.self_attn.rows.attention").Inputs[lengths] = "lengths"
	config = writeModel(t, config, m)
	w := shareWeights(t, env, config)
	shared := config
	shared.Weights = w
	tokens := prompt(rand.New(rand.NewPCG(61, 62)), config.Graph.VocabSize, 10)
	for name, c := range map[string]Config{"weights of its own": config, "shared weights": shared} {
		t.Run(name, func(t *testing.T) {
			s := openSession(t, env, c)
			var first []float32 // of a decoded token and of a chunk beside it
			for range 2 {
				if _, ok := s.executor.(*hybrid); !ok {
					t.Fatalf("it runs by %T", s.executor)
				}
				prefill(t, s, 0, 0, tokens[:9], 16)
				got := step(t, s, runner.Step{
					Decode: []runner.DecodeRow{{Token: tokens[9], Past: 9}}, Chunks: []runner.Chunk{{Slot: 1, Tokens: tokens, Logits: true}},
				})
				logits := slices.Concat(got.Decode[0], got.Chunks[0])
				if first == nil {
					first = logits
				}
				if !slices.Equal(logits, first) {
					t.Error("logits differ after renewing")
				}
				if err := s.Renew(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

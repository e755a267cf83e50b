//go:build cgo

package builder

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/inference/runner"
)

// environment is the real ONNX Runtime, which `make setup` puts into the cache.
func environment(t *testing.T) *ort.Environment {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the real ONNX Runtime; run without -short")
	}
	home := os.Getenv("SLUICE_HOME")
	if home == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		home = filepath.Join(cache, "sluice")
	}
	found, err := filepath.Glob(filepath.Join(home, "runtime", "libonnxruntime*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no ONNX Runtime in %s: run `make setup` (%v)", home, err)
	}
	env, err := ort.OpenEnvironment(found[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Close(); err != nil {
			t.Error(err)
		}
	})
	return env
}

// run converts a checkpoint and returns the logits after each prompt, all of them in one session.
func run(t *testing.T, env *ort.Environment, src model.Source, opts Options, prompts ...[]uint32) [][]float32 {
	t.Helper()
	dir := t.TempDir()
	m, err := Build(t.Context(), src, dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	session, err := env.Open(ort.Config{
		NoKernels: true, // it is the graph that is tested
		Model:     filepath.Join(dir, m.Graph.File), Graph: m.Graph, ContextLength: m.ContextLength,
		Device: ort.Device{Provider: ort.CPU, Threads: 1}, Slots: 1, MaxLength: m.ContextLength, MaxChunk: m.ContextLength,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := session.Close(); err != nil {
			t.Error(err)
		}
	}()
	all := make([][]float32, len(prompts))
	for i, prompt := range prompts {
		logits, err := session.Step(runner.Step{Chunks: []runner.Chunk{{Tokens: prompt, Logits: true}}})
		if err != nil {
			t.Fatal(err)
		}
		all[i] = append(all[i], logits.Chunks[0]...)
	}
	return all
}

// difference is the largest difference of two rows of logits, and the largest magnitude of the second.
func difference(t *testing.T, got, want []float32) (worst, size float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d logits, want %d", len(got), len(want))
	}
	for i := range want {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if d != d {
			t.Fatalf("logit %d is %v, want %v", i, got[i], want[i])
		}
		worst, size = max(worst, d), max(size, math.Abs(float64(want[i])))
	}
	return worst, size
}

// tinyCase is what transformers says about a small random model; scripts/parity/make_tiny.py makes it.
type tinyCase struct {
	Name   string          `json:"name"`
	Config json.RawMessage `json:"config"`
	Runs   []struct {
		Length int       `json:"length"`
		Logits []float32 `json:"logits"` // after the last token
	} `json:"runs"`
}

// TestTinyEqualTransformers converts small random checkpoints, stored as safetensors, and compares logits with
// transformers': odd head counts, tied and untied, biases, heads wider than hidden/heads, scaled positions. int8 and row8
// round weights and activations, so they are held to a tenth: random weights, whose outputs are all noise, are the worst
// case.
func TestTinyEqualTransformers(t *testing.T) {
	env := environment(t)
	text, err := os.ReadFile("testdata/tiny.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []tinyCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, test := range cases {
		t.Run(test.Name, func(t *testing.T) {
			src, err := model.OpenSource(writeCheckpoint(t, test.Config))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := src.Close(); err != nil {
					t.Error(err)
				}
			}()
			prompts := make([][]uint32, len(test.Runs))
			for i, r := range test.Runs {
				for k := range r.Length {
					prompts[i] = append(prompts[i], uint32((7*k+k*k/3+5)%src.Spec().VocabSize))
				}
			}
			for i, got := range run(t, env, src, Options{Quantize: FormNone}, prompts...) {
				worst, size := difference(t, got, test.Runs[i].Logits)
				t.Logf("none, %d tokens: %.2g of %.3g", len(prompts[i]), worst, size)
				if worst > 1e-3 {
					t.Errorf("none, %d tokens: logits differ by %g", len(prompts[i]), worst)
				}
			}
			s := src.Spec()
			if s.HiddenSize%blockLength != 0 || s.Heads*s.HeadSize%blockLength != 0 {
				return
			}
			for _, opts := range []Options{{Quantize: FormInt8}, {Quantize: FormRow8}, {Quantize: FormRow8, Calibration: prompts}} {
				for i, got := range run(t, env, src, opts, prompts...) {
					worst, size := difference(t, got, test.Runs[i].Logits)
					t.Logf("%s, %d texts, %d tokens: %.2g of %.3g", opts.Quantize, len(opts.Calibration), len(prompts[i]), worst, size)
					if worst > 0.1*size {
						t.Errorf("%s, %d texts, %d tokens: logits differ by %g of %g", opts.Quantize, len(opts.Calibration), len(prompts[i]), worst, size)
					}
				}
			}
		})
	}
}

// writeCheckpoint writes a Hugging Face folder with the weights that the config's sizes and newMemory give.
func writeCheckpoint(t *testing.T, config json.RawMessage) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	var c struct {
		DType     string `json:"dtype"`
		Vocab     int    `json:"vocab_size"`
		Hidden    int    `json:"hidden_size"`
		Width     int    `json:"intermediate_size"`
		Layers    int    `json:"num_hidden_layers"`
		Heads     int    `json:"num_attention_heads"`
		KVHeads   int    `json:"num_key_value_heads"`
		HeadSize  int    `json:"head_dim"`
		Tied      bool   `json:"tie_word_embeddings"`
		Attention bool   `json:"attention_bias"`
		MLP       bool   `json:"mlp_bias"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	spec := model.Spec{
		Architecture: "llama", VocabSize: c.Vocab, HiddenSize: c.Hidden, IntermediateSize: c.Width, Layers: c.Layers, Heads: c.Heads,
		KVHeads: c.KVHeads, HeadSize: c.HeadSize, TiedEmbeddings: c.Tied, AttentionBias: c.Attention, MLPBias: c.MLP,
	}
	src := newMemory(spec, nil)
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header, data := map[string]entry{}, []byte{}
	for _, w := range spec.Weights() {
		start := len(data)
		var name string
		data, name = appendFloats(t, data, values(t, src.tensors[w.Name]), c.DType)
		header[w.Name] = entry{DType: name, Shape: w.Shape, Offsets: [2]int{start, len(data)}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	file = append(append(file, text...), data...)
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// appendFloats stores values that the type holds exactly, and returns safetensors' name of the type.
func appendFloats(t *testing.T, data []byte, values []float32, dtype string) ([]byte, string) {
	t.Helper()
	var name string
	for _, v := range values {
		bits := math.Float32bits(v)
		switch dtype {
		case "float32":
			name, data = "F32", binary.LittleEndian.AppendUint32(data, bits)
		case "bfloat16":
			name, data = "BF16", binary.LittleEndian.AppendUint16(data, uint16(bits>>16))
			if bits&0xffff != 0 {
				t.Fatalf("%v is no bfloat16", v)
			}
		case "float16":
			h := uint16(bits >> 16 & 0x8000)
			if v != 0 {
				h |= uint16(bits>>23&0xff-112)<<10 | uint16(bits>>13&0x3ff)
			}
			name, data = "F16", binary.LittleEndian.AppendUint16(data, h)
		default:
			t.Fatalf("dtype %q", dtype)
		}
	}
	return data, name
}

// TestCarriedEqualsFloat runs models of every quantised type twice: as float32, and as the blocks that are carried
// over. With activations left as they are (accuracy level 1) only the order of sums differs; with the 8-bit activations
// that models are served with, a tenth (random weights are the worst case).
func TestCarriedEqualsFloat(t *testing.T) {
	env := environment(t)
	prompt := make([]uint32, 40)
	for i := range prompt {
		prompt[i] = uint32(11*i+i*i) % 40
	}
	all := func(typ model.Type) func(string) model.Type { return func(string) model.Type { return typ } }
	embedded := func(typ, embedding model.Type) func(string) model.Type {
		return func(name string) model.Type {
			if name == "model.embed_tokens.weight" {
				return embedding
			}
			return typ
		}
	}
	for _, test := range []struct {
		name   string
		typeOf func(string) model.Type
		untied bool
	}{
		{"Q8_0", all(model.Q8_0), false},
		{"Q4_0", all(model.Q4_0), false},
		{"Q5_0", all(model.Q5_0), false},
		{"Q4_1", embedded(model.Q4_1, model.Q8_0), false},
		{"Q5_1", embedded(model.Q5_1, model.Q4_0), false},
		{"Q4_K", embedded(model.Q4_K, model.Q8_0), false},
		{"Q5_K", embedded(model.Q5_K, model.Q8_0), false},
		{"Q4_1, with a head", embedded(model.Q4_1, model.Q8_0), true},
		{"mixed", func(name string) model.Type {
			if typ := mixedTypes(name); typ != model.F16 && typ != 0 {
				return typ
			}
			return model.Q5_0 // no float: it would be rounded
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := tinySpec()
			spec.HiddenSize, spec.IntermediateSize, spec.HeadSize = 256, 256, 64
			spec.TiedEmbeddings = !test.untied
			src := newMemory(spec, test.typeOf)
			want := run(t, env, src, Options{Quantize: FormNone}, prompt)[0]
			for accuracy, limit := range map[int]float64{accuracyFloat: 1e-4, accuracyInt8: 0.1} {
				got := run(t, env, src, Options{Quantize: FormAuto, accuracy: accuracy}, prompt)[0]
				worst, size := difference(t, got, want)
				t.Logf("accuracy level %d: %.2g of %.3g", accuracy, worst, size)
				if worst > limit*size {
					t.Errorf("accuracy level %d: logits differ by %g of %g", accuracy, worst, size)
				}
			}
		})
	}
}

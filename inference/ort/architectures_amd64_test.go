package ort

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder"
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
	"github.com/sluiceml/sluice/inference/runner"
)

// How much of a model the kernels take.
const (
	oneNode    = "one node"     // all between embeddings and logits
	nodeByNode = "node by node" // products and attention
	noKernels  = "no kernels"   // it runs on ONNX Runtime's operators
	noBlocks   = "no blocks"    // its widths do not divide into blocks
)

// onKernels says how much the kernels take of each case that the builder's tests have, which transformers judge there.
var onKernels = map[string]string{ //nolint:gochecknoglobals // a table
	"gemma2/window of 16":                                   noBlocks,
	"gemma2/window of 40, bfloat16":                         oneNode,
	"gemma3/window of 8 in two of three layers":             oneNode,
	"gemma3/linear scaling":                                 oneNode,
	"gemma3/seven layers":                                   oneNode,
	"gpt2/tied, three heads":                                noKernels, // adds learned positions, by lengths of sequences
	"gpt2/untied, another width":                            noKernels,
	"gptneox/side by side, a quarter of a head turned":      nodeByNode, // norms with a mean and a bias
	"gptneox/one after the other, 12 of 24 values turned":   noKernels,  // heads of 24 values
	"llama/yarn, untied":                                    oneNode,
	"llama/heads of 24 values":                              noBlocks,
	"llama/llama3 scaling, three heads":                     oneNode,
	"mistral/window of 16":                                  oneNode,
	"olmo2/untied":                                          oneNode,
	"olmo2/tied":                                            oneNode,
	"phi3/window of 20":                                     oneNode,
	"phi3/longrope, three quarters of a head turned":        oneNode,
	"phi3/longrope, a short context":                        oneNode,
	"qwen2/tied":                                            oneNode,
	"qwen2/untied, a window from the second layer on, yarn": oneNode,
	"qwen3/tied, wide heads":                                oneNode,
	"qwen3/untied, biases":                                  oneNode,
	"smollm3/every fourth layer without positions":          oneNode,
	"smollm3/a list of layers":                              oneNode,
}

// asRow8 are the cases that the form row8 knows, and whose widths it can multiply.
var asRow8 = map[string]bool{ //nolint:gochecknoglobals // a table
	"llama/llama3 scaling, three heads": true,
	"qwen2/tied":                        true,
}

// TestArchitecturesOnKernels: how much of each architecture the kernels take, with weights in 8-bit blocks, in blocks of two
// kinds as a GGUF of the kind Q4_K_M has them, and where queries, keys and values are three products; that they give what ONNX
// Runtime's operators give; and that no company, no cut of a prompt and no number of threads shows in a bit.
func TestArchitecturesOnKernels(t *testing.T) {
	if !kernels.Supported() {
		t.Skip("this processor has neither AVX2 nor AVX-512 VNNI")
	}
	env := openEnvironment(t)
	files, err := filepath.Glob("../model/builder/testdata/architectures/*.json")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, path := range files {
		for _, c := range readCases(t, path) {
			name := strings.TrimSuffix(filepath.Base(path), ".json") + "/" + c.Name
			seen[name] = true
			t.Run(name, func(t *testing.T) { c.check(t, env, onKernels[name], asRow8[name]) })
		}
	}
	for name := range onKernels {
		if !seen[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

// testCase is a small model of some architecture.
type testCase struct {
	Name    string           `json:"name"`
	Config  json.RawMessage  `json:"config"`
	Context int              `json:"context"` // of the conversion; 0: the model's
	Tensors map[string][]int `json:"tensors"`
}

func readCases(t *testing.T, path string) (cases []testCase) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// check runs all kinds of the case; row8 says whether it has that form.
func (c *testCase) check(t *testing.T, env *Environment, want string, row8 bool) {
	source, err := model.OpenSource(c.write(t))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close() //nolint:errcheck // read only
	for name, kind := range map[string]struct {
		source model.Source
		form   builder.Form
		texts  [][]uint32 // of calibration
	}{
		"int8":       {source, builder.FormInt8, nil},
		"two kinds":  {&mixed{source, []string{".v_proj.", ".down_proj."}}, builder.FormAuto, nil},
		"keys apart": {&mixed{source, []string{".k_proj."}}, builder.FormAuto, nil},
		"row8":       {source, builder.FormRow8, nil},
		"hybrid":     {source, builder.FormRow8, [][]uint32{prompt(rand.New(rand.NewPCG(45, 46)), source.Spec().VocabSize, 64)}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			m, err := builder.Build(t.Context(), kind.source, dir, builder.Options{Quantize: kind.form, ContextLength: c.Context, Calibration: kind.texts})
			if refused, ok := errors.AsType[*builder.SpecError](err); ok {
				if kind.form == builder.FormRow8 && row8 || kind.form != builder.FormRow8 && want != noBlocks {
					t.Error(refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if kind.form == builder.FormRow8 && !row8 {
				t.Error("it has the form row8")
			}
			if want == noBlocks {
				if kind.form == builder.FormInt8 {
					t.Error("its widths divide into blocks")
				}
				return
			}
			compareKernels(t, env, Config{
				Model: filepath.Join(dir, m.Graph.File), Graph: m.Graph, ContextLength: m.ContextLength, Device: Device{Provider: CPU, Threads: 2},
				Slots: 4, MaxLength: m.ContextLength, MaxChunk: m.ContextLength,
			}, want, source.Spec().Layers)
		})
	}
}

// compareKernels opens a model with the kernels and without, and compares them.
func compareKernels(t *testing.T, env *Environment, config Config, want string, layers int) {
	t.Helper()
	config = changed(t, config, func(n *modelonnx.Node) { setEpsilon(n, 1) })
	s := openSession(t, env, config)
	n, ok := s.executor.(*native)
	got := noKernels
	if ok {
		if got = nodeByNode; n.packed.program != nil {
			got = oneNode
		}
	}
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if !ok {
		return
	}
	if got == oneNode {
		leavesOut(t, n.packed.decoder, n.packed.heads*config.Graph.HeadSize)
	}
	tokens := prompt(rand.New(rand.NewPCG(41, 42)), config.Graph.VocabSize, min(config.MaxLength, 150))
	whole := inChunks(t, s, tokens, runner.MaxRows)
	// Each variant of the kernels gives the same bits.
	for config.variant = kernels.AVX2; config.variant < kernels.Best(); config.variant++ {
		if got := inChunks(t, openSession(t, env, config), tokens, runner.MaxRows); !slices.EqualFunc(got, whole, slices.Equal) {
			t.Errorf("logits by %v differ from those by %v", config.variant, kernels.Best())
		}
	}
	config.variant = kernels.None
	// Tokens beside rows of other slots and lengths, by another session of three threads.
	config.Device.Threads = 3
	other := openSession(t, env, config)
	prefill(t, other, 0, 0, tokens[:70], 70)
	prefill(t, other, 1, 0, tokens[:9], 9)
	for i, token := range tokens {
		st := runner.Step{Decode: []runner.DecodeRow{
			{Slot: 0, Token: tokens[70], Past: 70}, {Slot: 1, Token: tokens[9], Past: 9}, {Slot: 2, Token: token, Past: i},
		}}
		if got := step(t, other, st).Decode; !slices.Equal(got[2], whole[i]) || !slices.Equal(got[0], whole[70]) || !slices.Equal(got[1], whole[9]) {
			t.Fatalf("logits differ where token %d is decoded beside others", i)
		}
	}
	for _, size := range []int{1, 7, 64, len(tokens)} {
		if got := prefill(t, other, 3, 0, tokens, size); !slices.Equal(got, whole[len(tokens)-1]) {
			t.Errorf("logits differ in chunks of %d", size)
		}
	}
	config.NoKernels = true
	plain := func(config Config) [][]float32 {
		return inChunks(t, openSession(t, env, config), tokens, runner.MaxRows)
	}
	// Of weights that are noise each layer makes more of what rounding inputs, and what attention multiplies, to 8 bits brings: most
	// in Gemma 3, whose norms of queries and keys make scores large.
	d := distance(plain(config), whole)
	if t.Logf("logits differ by %.4f of their size", d); !(d < 0.025*float64(layers)) {
		t.Errorf("logits differ by %.4f of their size from those of ONNX Runtime's operators", d)
	}
	// They are farther from what the operators make of a model that is a little different.
	for name, change := range map[string]func(n *modelonnx.Node){
		"a window that is one shorter": func(n *modelonnx.Node) { addToWindow(n, -1) },
		"a window that is one longer":  func(n *modelonnx.Node) { addToWindow(n, 1) },
		"half of norms' epsilon":       func(n *modelonnx.Node) { setEpsilon(n, 0.5) },
	} {
		other := changed(t, config, change)
		if other.Model == config.Model {
			continue // it has none
		}
		if from := distance(plain(other), whole); !(from > 1.5*d) {
			t.Errorf("logits differ by %.4f of their size, and by %.4f from those of %s", d, from, name)
		}
	}
}

// distance is the root of the mean square of the differences between logits, in that of the logits.
func distance(want, got [][]float32) float64 {
	var differences, squares float64
	for i, row := range want {
		for j, v := range row {
			d := float64(v) - float64(got[i][j])
			differences, squares = differences+d*d, squares+float64(v)*float64(v)
		}
	}
	return math.Sqrt(differences / squares)
}

// changed is a model whose nodes were changed; the same one if there was nothing to change.
func changed(t *testing.T, config Config, change func(n *modelonnx.Node)) Config {
	t.Helper()
	m := readModel(t, config)
	before := m.Marshal()
	for i := range m.Graph.Nodes {
		change(&m.Graph.Nodes[i])
	}
	if bytes.Equal(m.Marshal(), before) {
		return config
	}
	return writeModel(t, config, m)
}

// setEpsilon gives an RMS norm an epsilon that shows, times a factor: one of those that add a branch has another.
func setEpsilon(n *modelonnx.Node, factor float32) {
	epsilon := 0.05 * factor
	switch {
	case is(n, "SimplifiedLayerNormalization"):
	case is(n, "SkipSimplifiedLayerNormalization"):
		epsilon *= 2
	default:
		return
	}
	n.Attributes = slices.Clone(n.Attributes) // which norms may share
	for i := range n.Attributes {
		if n.Attributes[i].Name == "epsilon" {
			n.Attributes[i].Float = epsilon
			return
		}
	}
	n.Attributes = append(n.Attributes, modelonnx.Real("epsilon", epsilon))
}

// addToWindow makes the window of attention longer.
func addToWindow(n *modelonnx.Node, by int64) {
	n.Attributes = slices.Clone(n.Attributes)
	for i := range n.Attributes {
		if n.Attributes[i].Name == "local_window_size" {
			n.Attributes[i].Int += by
		}
	}
}

// inChunks runs a prompt in chunks of at most size tokens, and gives the logits after each of its tokens.
func inChunks(t *testing.T, s runner.Session, tokens []uint32, size int) (logits [][]float32) {
	t.Helper()
	for chunk := range slices.Chunk(tokens, size) {
		st := runner.Step{Chunks: []runner.Chunk{{Tokens: chunk, Past: len(logits), Rows: true}}}
		for _, row := range step(t, s, st).Rows {
			logits = append(logits, slices.Clone(row))
		}
	}
	return logits
}

// mixed is a source whose matrices are in blocks: those with such parts in their names in 8 bits, and the others in 4.
type mixed struct {
	model.Source
	eight []string
}

func (m *mixed) Tensor(name string) (model.Tensor, bool) {
	t, ok := m.Source.Tensor(name)
	if !ok || len(t.Shape) != 2 || t.Shape[1]%kernels.BlockLength != 0 {
		return t, ok
	}
	t.Type = model.Q4_0
	if slices.ContainsFunc(m.eight, func(part string) bool { return strings.Contains(name, part) }) {
		t.Type = model.Q8_0
	}
	random, half := seeded(name), uint16(0x2000) // 2^-7
	if t.Type == model.Q8_0 {
		half = 0x1000 // 2^-11
	}
	t.Data = make([]byte, t.Shape[0]*t.Shape[1]/t.Type.BlockSize()*t.Type.BlockBytes())
	for i := range t.Data {
		t.Data[i] = byte(random.Uint32())
	}
	for at := 0; at < len(t.Data); at += t.Type.BlockBytes() {
		binary.LittleEndian.PutUint16(t.Data[at:], half)
	}
	return t, true
}

// seeded is random in its own way for each name.
func seeded(name string) *rand.Rand {
	h := fnv.New64()
	h.Write([]byte(name)) //nolint:errcheck // it has no errors
	return rand.New(rand.NewPCG(h.Sum64(), 43))
}

// write writes a Hugging Face folder of random weights: norms of about 1, and others of up to a sixteenth.
func (c *testCase) write(t *testing.T) string {
	t.Helper()
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header, data := map[string]entry{}, []byte(nil)
	for name, shape := range c.Tensors {
		random, start, n := seeded(name), len(data), 1
		for _, d := range shape {
			n *= d
		}
		for range n {
			v := (random.Float32() - 0.5) / 8
			if len(shape) == 1 && strings.HasSuffix(name, "weight") {
				v = 1 + 8*v
			}
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		header[name] = entry{DType: "F32", Shape: shape, Offsets: [2]int{start, len(data)}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"config.json": c.Config, "model.safetensors": slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, data),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

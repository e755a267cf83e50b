package conversion

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// writeCheckpoint writes a checkpoint of two layers whose weights are all 0.
func writeCheckpoint(t *testing.T) string {
	t.Helper()
	s := model.Spec{
		Architecture: "llama", VocabSize: 40, HiddenSize: 64, IntermediateSize: 96, Layers: 2, Heads: 4, KVHeads: 2, HeadSize: 16,
		ContextLength: 48, RopeTheta: 10000, NormEpsilon: 1e-5, TiedEmbeddings: true,
	}
	header, end := map[string]any{}, 0
	for _, w := range s.Weights() {
		size := 4
		for _, n := range w.Shape {
			size *= n
		}
		header[w.Name] = map[string]any{"dtype": "F32", "shape": w.Shape, "data_offsets": []int{end, end + size}}
		end += size
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	weights := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	dir := t.TempDir()
	writeFile(t, dir, "model.safetensors", append(weights, make([]byte, end)...))
	writeFile(t, dir, "tokenizer.json", []byte("{}"))
	writeFile(t, dir, "config.json", []byte(`{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_act":"silu","vocab_size":40,
		"hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":16,
		"max_position_embeddings":48,"rms_norm_eps":1e-5,"rope_theta":10000,"tie_word_embeddings":true,"eos_token_id":2}`))
	return dir
}

// writeGraph adds what onnx-community has in its folders beside such a checkpoint: the outside of a graph.
func writeGraph(t *testing.T, dir string) {
	t.Helper()
	batch, past, tokens := onnx.Named("batch_size"), onnx.Named("past_sequence_length"), onnx.Named("sequence_length")
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 18}}}
	m.Graph.Nodes = []onnx.Node{{Op: "Concat", Inputs: []string{"past_key_values.0.key", "x"}, Outputs: []string{"present.0.key"}}}
	for _, name := range []string{"input_ids", "attention_mask", "position_ids"} {
		m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: name, Type: onnx.Int64, Shape: []onnx.Dim{batch, tokens}})
	}
	m.Graph.Outputs = []onnx.Value{{Name: "logits", Type: onnx.Float, Shape: []onnx.Dim{batch, tokens, onnx.Fixed(40)}}}
	for layer := range 2 {
		for _, part := range []string{"key", "value"} {
			shape := []onnx.Dim{batch, onnx.Fixed(2), past, onnx.Fixed(16)}
			m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: fmt.Sprintf("past_key_values.%d.%s", layer, part), Type: onnx.Float, Shape: shape})
			m.Graph.Outputs = append(m.Graph.Outputs, onnx.Value{Name: fmt.Sprintf("present.%d.%s", layer, part), Type: onnx.Float, Shape: shape})
		}
	}
	m.Graph.Initializers = []onnx.Tensor{{Name: "w", Type: onnx.Float, Dims: []int64{2}, Raw: make([]byte, 8)}}
	writeFile(t, dir, "onnx/model.onnx", m.Marshal())
}

func writeFile(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// convert runs a conversion to float32.
func convert(t *testing.T, c Conversion) error {
	t.Helper()
	progress := setup.NewProgress(io.Discard, false)
	defer progress.Close()
	c.Options.Quantize = builder.FormNone
	return c.Run(t.Context(), progress)
}

// TestCheckpointBesideGraph: a repository that holds both, as many of onnx-community's do, is converted; one that holds the graph
// alone is served as it is, which is said.
func TestCheckpointBesideGraph(t *testing.T) {
	t.Parallel()
	source := writeCheckpoint(t)
	writeGraph(t, source)
	if report, err := model.Inspect(source); err != nil || report.Use != model.Serve {
		t.Fatalf("the graph is not one to serve: %+v, %v", report, err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := convert(t, Conversion{Source: source, Out: out}); err != nil {
		t.Error(err)
	}
	if _, err := model.Open(out); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(source, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	err := convert(t, Conversion{Source: source, Out: filepath.Join(t.TempDir(), "out")})
	if err == nil || !strings.Contains(err.Error(), "which is served as it is") {
		t.Errorf("a graph alone: %v", err)
	}
}

// TestRunReplacesOnlyIfAsked: a folder that has come to the place meanwhile is kept, unless it was to be replaced.
func TestRunReplacesOnlyIfAsked(t *testing.T) {
	t.Parallel()
	source, out := writeCheckpoint(t), t.TempDir()
	writeFile(t, out, "file", []byte("mine"))
	err := convert(t, Conversion{Source: source, Out: out})
	if _, ok := errors.AsType[*usage.Error](err); !ok {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(filepath.Join(out, "file")); string(got) != "mine" {
		t.Errorf("there is %q", got)
	}
	if err := convert(t, Conversion{Source: source, Out: out, Replace: true}); err != nil {
		t.Error(err)
	}
	if _, err := model.Open(out); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(out), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left are %q, %v", left, err)
	}
}

package model_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// communityGraph is the outside of a graph as optimum exports it, with one weight, and no attention that could share a
// buffer.
func communityGraph(layers int) *onnx.Model {
	batch, past := onnx.Named("batch_size"), onnx.Named("past_sequence_length")
	both, tokens := onnx.Named("total"), onnx.Named("sequence_length")
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 18}}}
	m.Graph.Nodes = []onnx.Node{{Op: "Concat", Inputs: []string{"past_key_values.0.key", "x"}, Outputs: []string{"present.0.key"}}}
	m.Graph.Inputs = []onnx.Value{
		{Name: "input_ids", Type: onnx.Int64, Shape: []onnx.Dim{batch, tokens}},
		{Name: "attention_mask", Type: onnx.Int64, Shape: []onnx.Dim{batch, both}},
		{Name: "position_ids", Type: onnx.Int64, Shape: []onnx.Dim{batch, tokens}},
	}
	m.Graph.Outputs = []onnx.Value{{Name: "logits", Type: onnx.Float, Shape: []onnx.Dim{batch, tokens, onnx.Fixed(12)}}}
	for layer := range layers {
		for _, part := range []string{"key", "value"} {
			shape := []onnx.Dim{batch, onnx.Fixed(2), past, onnx.Fixed(4)}
			m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: fmt.Sprintf("past_key_values.%d.%s", layer, part), Type: onnx.Float, Shape: shape})
			m.Graph.Outputs = append(m.Graph.Outputs, onnx.Value{Name: fmt.Sprintf("present.%d.%s", layer, part), Type: onnx.Float, Shape: shape})
		}
	}
	m.Graph.Initializers = []onnx.Tensor{{Name: "w", Type: onnx.Float, Dims: []int64{2}, Raw: make([]byte, 8)}}
	return m
}

// genaiGraph is the outside of a graph of onnxruntime-genai's builder, whose attention can share a buffer.
func genaiGraph(layers int) *onnx.Model {
	m := communityGraph(layers)
	m.Graph.Inputs = append(m.Graph.Inputs[:2], m.Graph.Inputs[3:]...) // no positions
	m.Graph.Nodes = []onnx.Node{
		{Op: "ReduceSum", Inputs: []string{"attention_mask", "axes"}, Outputs: []string{"sum"}},
		{Op: "Sub", Inputs: []string{"sum", "one"}, Outputs: []string{"less"}},
		{Op: "Cast", Inputs: []string{"less"}, Outputs: []string{"lengths"}},
	}
	for layer := range layers {
		m.Graph.Nodes = append(m.Graph.Nodes, onnx.Node{
			Op: "GroupQueryAttention", Domain: "com.microsoft",
			Inputs: []string{
				"qkv", "", "", fmt.Sprintf("past_key_values.%d.key", layer), fmt.Sprintf("past_key_values.%d.value", layer), "lengths", "total",
			},
			Outputs: []string{"o", fmt.Sprintf("present.%d.key", layer), fmt.Sprintf("present.%d.value", layer)},
		})
	}
	return m
}

// foreignFiles are the small files of a folder of onnx-community.
func foreignFiles() map[string]string {
	return map[string]string{
		"config.json": `{"model_type":"llama","max_position_embeddings":32,"eos_token_id":2}`, "tokenizer.json": "{}",
		"tokenizer_config.json": `{"eos_token":"</s>","chat_template":"t"}`,
	}
}

const genaiConfig = `{"model":{"type":"llama","bos_token_id":1,"eos_token_id":[2,3],"context_length":64,"vocab_size":12,"decoder":{` +
	`"filename":"model.onnx","head_size":4,"num_key_value_heads":2,"inputs":{"past_key_names":"past_key_values.%d.key"}}},` +
	`"search":{"do_sample":false,"top_k":50,"top_p":1.0,"num_beams":1}}`

// writeForeign writes files and graphs into a new folder.
func writeForeign(t *testing.T, files map[string]string, graphs map[string]*onnx.Model) string {
	t.Helper()
	dir := t.TempDir()
	for name, m := range graphs {
		files[name] = string(m.Marshal())
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, name, []byte(text))
	}
	return dir
}

func TestOpenCommunity(t *testing.T) {
	t.Parallel()
	external := communityGraph(3)
	external.Graph.Initializers[0] = onnx.Tensor{
		Name: "w", Type: onnx.Float, Dims: []int64{2}, External: &onnx.External{Location: "model_q4.onnx_data", Length: 8},
	}
	graphs := map[string]*onnx.Model{"onnx/model_q4.onnx": external, "onnx/model_fp16.onnx": communityGraph(3)}
	files := foreignFiles()
	files["onnx/model_q4.onnx_data"] = "12345678"
	files["generation_config.json"] = `{"eos_token_id":[2,7],"do_sample":true}`
	dir := writeForeign(t, files, graphs)
	f, err := model.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	want := &model.Folder{
		Dir: dir, Kind: model.KindCommunity, Others: []string{"onnx/model_fp16.onnx"},
		ModelPath: filepath.Join(dir, "onnx/model_q4.onnx"), DataPaths: []string{filepath.Join(dir, "onnx/model_q4.onnx_data")},
		TokenizerPath: filepath.Join(dir, "tokenizer.json"), ChatTemplate: "t", EOSToken: "</s>",
		GenerationConfig: model.GenerationConfig{EOSTokenIDs: model.TokenIDs{2, 7}, DoSample: &yes},
		Manifest: model.Manifest{
			Architecture: "llama", Quantization: "q4", ContextLength: 32, VocabSize: 12, Layers: 3, KVHeads: 2, HeadSize: 4,
			Graph: model.Graph{
				File: "model_q4.onnx", InputIDs: "input_ids", Logits: "logits", PastKey: "past_key_values.%d.key",
				PastValue: "past_key_values.%d.value", PresentKey: "present.%d.key", PresentValue: "present.%d.value",
				KVType: "float32", Layers: 3, KVHeads: 2, HeadSize: 4, VocabSize: 12,
				Masked: &model.MaskedGraph{AttentionMask: "attention_mask", PositionIDs: "position_ids", LogitsType: "float32"},
			},
		},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("Folder (-want +got):\n%s", diff)
	}
	// Another variant, by its file.
	if f, err = model.Open(filepath.Join(dir, "onnx/model_fp16.onnx")); err != nil {
		t.Fatal(err)
	}
	if f.Dir != dir || f.ModelPath != filepath.Join(dir, "onnx/model_fp16.onnx") || f.Manifest.Quantization != "fp16" {
		t.Errorf("the named variant: %+v", f)
	}
	// All in one folder, and that below another.
	files = map[string]string{}
	for name, text := range foreignFiles() {
		files["a/b/"+name] = text
	}
	dir = writeForeign(t, files, map[string]*onnx.Model{"a/b/model.onnx": communityGraph(1)})
	if f, err = model.Open(dir); err != nil {
		t.Fatal(err)
	}
	if f.Dir != filepath.Join(dir, "a/b") || f.GenerationConfig.EOSTokenIDs[0] != 2 || f.Manifest.Quantization != "onnx" {
		t.Errorf("a nested folder: %+v", f)
	}
}

func TestOpenGenAI(t *testing.T) {
	t.Parallel()
	dir := writeForeign(t, map[string]string{"cpu/int4/genai_config.json": genaiConfig, "cpu/int4/tokenizer.json": "{}"},
		map[string]*onnx.Model{"cpu/int4/model.onnx": genaiGraph(2)})
	f, err := model.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	g := f.Manifest.Graph
	if f.Kind != model.KindGenAI || !g.Masked.Shared || g.Masked.PositionIDs != "" || f.Manifest.ContextLength != 64 || g.Layers != 2 {
		t.Errorf("folder %+v, graph %+v", f, g.Masked)
	}
	no, topK, topP, beams, bos := false, 50, 1.0, 1, uint32(1)
	want := model.GenerationConfig{
		BOSTokenID: &bos, EOSTokenIDs: model.TokenIDs{2, 3}, DoSample: &no, TopK: &topK, TopP: &topP, NumBeams: &beams,
	}
	if diff := cmp.Diff(want, f.GenerationConfig); diff != "" {
		t.Errorf("GenerationConfig (-want +got):\n%s", diff)
	}
	r, err := model.Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.Kind != model.KindGenAI || r.Use != model.Serve || !strings.HasPrefix(r.Execution, "rows of any length in one pass") {
		t.Errorf("report %+v", r)
	}
}

// TestSharedBuffer finds out whether a graph's caches may be one buffer: in any doubt they may not.
func TestSharedBuffer(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(m *onnx.Model){
		"lengths of another kind":       func(m *onnx.Model) { m.Graph.Nodes[0].Op = "Shape" },
		"lengths that no sum is behind": func(m *onnx.Model) { m.Graph.Nodes[0].Op = "Cast" },
		"a second reader of a cache": func(m *onnx.Model) {
			m.Graph.Nodes = append(m.Graph.Nodes, onnx.Node{Op: "Shape", Inputs: []string{"past_key_values.1.key"}, Outputs: []string{"s"}})
		},
		"another present": func(m *onnx.Model) { m.Graph.Nodes[4].Outputs[1] = "p" },
		"another past":    func(m *onnx.Model) { m.Graph.Nodes[4].Inputs[4] = "p" },
		"another operator": func(m *onnx.Model) {
			m.Graph.Nodes[3].Op = "MultiHeadAttention"
		},
	} {
		m := genaiGraph(2)
		change(m)
		dir := writeForeign(t, map[string]string{"genai_config.json": genaiConfig, "tokenizer.json": "{}"}, map[string]*onnx.Model{"model.onnx": m})
		f, err := model.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if f.Manifest.Graph.Masked.Shared || !strings.Contains(f.Execution(), "one row at a time") {
			t.Errorf("%s: a shared buffer", name)
		}
	}
}

// TestForeignRefuses says what of a folder cannot be served.
func TestForeignRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		graph  func(m *onnx.Model)
		genai  string // replaces in genai_config.json, "" of onnx-community: old → new
		with   string
		config string
		want   string
	}{
		{name: "an encoder", graph: func(m *onnx.Model) {
			m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: "encoder_hidden_states", Type: onnx.Float})
		}, want: `its input "encoder_hidden_states" is not supported`},
		{name: "a hybrid cache", graph: func(m *onnx.Model) {
			m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: "past_conv.0", Type: onnx.Float})
		}, want: `its input "past_conv.0" is not supported`},
		{name: "no cache", graph: func(m *onnx.Model) { m.Graph.Inputs = m.Graph.Inputs[:3] }, want: "a graph without a cache of keys and values is not served"},
		{name: "no mask", graph: func(m *onnx.Model) { m.Graph.Inputs[1].Name = "mask" }, want: `it has no input "attention_mask"`},
		{name: "embeddings", graph: func(m *onnx.Model) { m.Graph.Inputs[0].Name = "inputs_embeds" }, want: `it has no input "input_ids"`},
		{name: "32-bit ids", graph: func(m *onnx.Model) { m.Graph.Inputs[0].Type = onnx.Int32 }, want: `its input "input_ids" is int32, want int64`},
		{name: "8-bit keys", graph: func(m *onnx.Model) { m.Graph.Inputs[3].Type = onnx.Int8 }, want: "want float or float16 with 4"},
		{name: "layers of other sizes", graph: func(m *onnx.Model) { m.Graph.Inputs[5].Shape[1] = onnx.Fixed(3) }, want: "differ in type or size"},
		{name: "no present", graph: func(m *onnx.Model) { m.Graph.Outputs = m.Graph.Outputs[:3] }, want: `it has no output "present.1.key"`},
		{name: "no logits", graph: func(m *onnx.Model) { m.Graph.Outputs[0].Name = "last_hidden_state" }, want: `it has no output "logits"`},
		{name: "last logits", graph: func(m *onnx.Model) { m.Graph.Outputs[0].Shape[1] = onnx.Fixed(1) }, want: "the last token's logits only"},
		{name: "weights elsewhere", graph: func(m *onnx.Model) {
			m.Graph.Initializers[0] = onnx.Tensor{Name: "w", Type: onnx.Float, Dims: []int64{2}, External: &onnx.External{Location: "../../etc/passwd", Length: 8}}
		}, want: "not inside the folder"},
		{name: "weights missing", graph: func(m *onnx.Model) {
			m.Graph.Initializers[0] = onnx.Tensor{Name: "w", Type: onnx.Float, Dims: []int64{2}, External: &onnx.External{Location: "w.data", Length: 8}}
		}, want: "the model folder is not complete"},
		{name: "no context", config: `{"model_type":"x"}`, want: "the context length is 0"},
		{name: "an end token beyond", config: `{"max_position_embeddings":8,"eos_token_id":12}`, want: "token 12 is not in the vocabulary of 12"},
		{name: "vision", genai: `"decoder"`, with: `"vision":{"filename":"v.onnx"},"decoder"`, want: "a model with a vision is not supported"},
		{name: "a pipeline", genai: `"head_size":4`, with: `"pipeline":[{"a":{}}]`, want: "a model with a decoder.pipeline is not supported"},
		{name: "a path", genai: `"model.onnx"`, with: `"../model.onnx"`, want: "is not the name of a file in the folder"},
		{name: "a verb", genai: `past_key_values.%d.key`, with: `past_%s_%d`, want: "it must hold one %d for the layer"},
		{name: "no context of genai", genai: `"context_length":64`, with: `"context_length":-1`, want: "the context length is -1"},
		{name: "a temperature", genai: `"top_p":1.0`, with: `"top_p":7`, want: "top_p: 7 is not from 0 to 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, files, graph := communityGraph(2), foreignFiles(), "onnx/model.onnx"
			if test.genai != "" {
				graph = "model.onnx"
				m = genaiGraph(2)
				files = map[string]string{"tokenizer.json": "{}", "genai_config.json": strings.Replace(genaiConfig, test.genai, test.with, 1)}
			}
			if test.config != "" {
				files["config.json"] = test.config
			}
			if test.graph != nil {
				test.graph(m)
			}
			dir := writeForeign(t, files, map[string]*onnx.Model{graph: m})
			_, err := model.Open(dir)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open: got error %v, want %q", err, test.want)
			}
			r, err := model.Inspect(dir)
			if err != nil || r.Use != model.None || !strings.Contains(r.Problem, test.want) {
				t.Errorf("Inspect: %q: %q, %v", r.Use, r.Problem, err)
			}
		})
	}
}

// TestSeveralModels names the folders to choose from.
func TestSeveralModels(t *testing.T) {
	t.Parallel()
	dir := writeForeign(t, map[string]string{"cpu/genai_config.json": genaiConfig, "cuda/genai_config.json": genaiConfig}, nil)
	_, err := model.Open(dir)
	if _, ok := errors.AsType[*model.UnsupportedError](err); !ok || !strings.Contains(err.Error(), "it holds 2 models: name one of cpu, cuda") {
		t.Errorf("got error %v", err)
	}
	merged := writeForeign(t, foreignFiles(), map[string]*onnx.Model{"onnx/decoder_model_merged.onnx": communityGraph(1)})
	if _, err := model.Open(merged); err == nil || !strings.Contains(err.Error(), "models of several graphs are not supported") {
		t.Errorf("got error %v", err)
	}
}

// TestDanglingManifest opens a folder whose manifest is there and cannot be read.
func TestDanglingManifest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dir, "sluice.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := model.Open(dir); err == nil || !strings.Contains(err.Error(), "sluice.json leads nowhere") {
		t.Errorf("got error %v", err)
	}
}

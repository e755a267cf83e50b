package model_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model"
)

func readFile(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// manifest is a sound manifest of the small model.
func manifest() model.Manifest {
	m := model.NewManifest(small(), "v1.2.3")
	m.Name, m.Quantization = "Small", "auto"
	m.Options = map[string]string{"z": "1", "a": "2", "m": "3"}
	m.Source = model.Origin{
		Format: "gguf", License: "apache-2.0",
		Files: []model.OriginFile{{Name: "model.gguf", Bytes: 12, SHA256: strings.Repeat("ab", 32)}},
	}
	return m
}

// writeFolder writes a folder to serve.
func writeFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := manifest().Write(dir); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, "model.onnx", []byte("graph"))
	writeFile(t, dir, "model.onnx.data", []byte("weights"))
	writeFile(t, dir, "tokenizer.json", []byte("{}"))
	writeFile(t, dir, "generation_config.json", []byte(`{"eos_token_id":[2,3],"do_sample":true,"temperature":0.6,"top_p":0.9,"_from_model_config":true}`))
	writeFile(t, dir, "tokenizer_config.json", []byte(`{"bos_token":{"__type":"AddedToken","content":"<s>"},"eos_token":"</s>","chat_template":"old"}`))
	writeFile(t, dir, "chat_template.jinja", []byte("new"))
	return dir
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := writeFolder(t)
	f, err := model.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	yes, temperature, topP := true, 0.6, 0.9
	want := &model.Folder{
		Dir: dir, Kind: model.KindSluice, Manifest: manifest(),
		ModelPath: filepath.Join(dir, "model.onnx"), DataPaths: []string{filepath.Join(dir, "model.onnx.data")},
		TokenizerPath: filepath.Join(dir, "tokenizer.json"), ChatTemplate: "new", BOSToken: "<s>", EOSToken: "</s>",
		GenerationConfig: model.GenerationConfig{
			EOSTokenIDs: model.TokenIDs{2, 3}, DoSample: &yes, Temperature: &temperature, TopP: &topP,
		},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("Folder (-want +got):\n%s", diff)
	}
}

// TestOpenForms reads folders whose small files are older, or not there.
func TestOpenForms(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name           string
		files          map[string]string // "": removed
		bos, eos, chat string
		ends           model.TokenIDs
	}{
		{"template in tokenizer_config.json", map[string]string{"chat_template.jinja": ""}, "<s>", "</s>", "old", model.TokenIDs{2, 3}},
		{"several templates", map[string]string{
			"chat_template.jinja": "", "tokenizer_config.json": `{"chat_template":[{"name":"rag","template":"r"},{"name":"default","template":"d"}]}`,
		}, "", "", "d", model.TokenIDs{2, 3}},
		{"special_tokens_map.json", map[string]string{
			"tokenizer_config.json": `{"bos_token":null}`, "special_tokens_map.json": `{"bos_token":"<b>","eos_token":{"content":"<e>"}}`,
		}, "<b>", "<e>", "new", model.TokenIDs{2, 3}},
		{"only what must be", map[string]string{"chat_template.jinja": "", "tokenizer_config.json": "", "generation_config.json": ""}, "", "", "", nil},
		{"one end token", map[string]string{"generation_config.json": `{"eos_token_id":7}`}, "<s>", "</s>", "new", model.TokenIDs{7}},
		{"no end token", map[string]string{"generation_config.json": `{"eos_token_id":null}`}, "<s>", "</s>", "new", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := writeFolder(t)
			change(t, dir, test.files)
			f, err := model.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if f.BOSToken != test.bos || f.EOSToken != test.eos || f.ChatTemplate != test.chat {
				t.Errorf("BOS %q, EOS %q, template %q, want %q, %q, %q", f.BOSToken, f.EOSToken, f.ChatTemplate, test.bos, test.eos, test.chat)
			}
			if diff := cmp.Diff(test.ends, f.GenerationConfig.EOSTokenIDs); diff != "" {
				t.Errorf("end tokens (-want +got):\n%s", diff)
			}
		})
	}
}

// change writes files, or removes those whose text is empty.
func change(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if text != "" {
			writeFile(t, dir, name, []byte(text))
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no graph", map[string]string{"model.onnx": ""}, "the model folder is not complete: stat "},
		{"no weights", map[string]string{"model.onnx.data": ""}, "the model folder is not complete: stat "},
		{"no tokenizer", map[string]string{"tokenizer.json": ""}, "the model folder is not complete: stat "},
		{"broken manifest", map[string]string{"sluice.json": "{"}, "sluice.json: "},
		{"no format", map[string]string{"sluice.json": "{}"}, "sluice.json: format: it is missing"},
		{"newer format", map[string]string{"sluice.json": `{"format":2}`}, "its format is 2, this sluice knows 1 at most"},
		{"empty manifest", map[string]string{"sluice.json": `{"format":1}`}, "graph.input_ids: it is missing"},
		{"sampling", map[string]string{"generation_config.json": `{"top_p":1.5}`}, "generation_config.json: top_p: 1.5 is not from 0 to 1"},
		{"sampling kind", map[string]string{"generation_config.json": `{"top_k":"50"}`}, "generation_config.json: top_k: a JSON string is not what belongs there"},
		{"temperature", map[string]string{"generation_config.json": `{"temperature":-1}`}, "generation_config.json: temperature: -1 is not from 0"},
		{"end token kind", map[string]string{"generation_config.json": `{"eos_token_id":"</s>"}`}, "generation_config.json: eos_token_id: neither a token id nor a list of them"},
		{"end token negative", map[string]string{"generation_config.json": `{"eos_token_id":[1,-1]}`}, "generation_config.json: eos_token_id.1: "},
		{"end token unknown", map[string]string{"generation_config.json": `{"eos_token_id":12}`}, "generation_config.json: eos_token_id: token 12 is not in the vocabulary of 12"},
		{"tokenizer_config.json", map[string]string{"tokenizer_config.json": `{"bos_token":3}`}, "tokenizer_config.json: bos_token: a JSON number is not what belongs there"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := writeFolder(t)
			change(t, dir, test.files)
			_, err := model.Open(dir)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
	if _, err := model.Open(filepath.Join(t.TempDir(), "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder: got error %v", err)
	}
}

// TestManifestBytes holds the manifest's text: the same values give the same bytes.
func TestManifestBytes(t *testing.T) {
	t.Parallel()
	const want = `{
  "format": 1,
  "tool_version": "v1.2.3",
  "name": "Small",
  "architecture": "llama",
  "vocab_size": 12,
  "hidden_size": 256,
  "intermediate_size": 512,
  "layers": 2,
  "heads": 4,
  "kv_heads": 2,
  "head_size": 64,
  "context_length": 128,
  "quantization": "auto",
  "options": {
    "a": "2",
    "m": "3",
    "z": "1"
  },
  "source": {
    "format": "gguf",
    "license": "apache-2.0",
    "files": [
      {
        "name": "model.gguf",
        "bytes": 12,
        "sha256": "abababababababababababababababababababababababababababababababab"
      }
    ]
  },
  "graph": {
    "file": "model.onnx",
    "data": "model.onnx.data",
    "input_ids": "input_ids",
    "seqlens_k": "seqlens_k",
    "total_sequence_length": "total_sequence_length",
    "logits_indices": "logits_idx",
    "logits": "logits",
    "past_key": "past_key_values.%d.key",
    "past_value": "past_key_values.%d.value",
    "present_key": "present.%d.key",
    "present_value": "present.%d.value",
    "kv_type": "float32",
    "layers": 2,
    "kv_heads": 2,
    "head_size": 64,
    "vocab_size": 12
  }
}
`
	for range 8 {
		got, err := manifest().Encode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Fatalf("manifest (-want +got):\n%s", diff)
		}
	}
	dir := t.TempDir()
	writeFile(t, dir, "sluice.json", []byte(want))
	got, err := model.ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(manifest(), got); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
}

func TestManifestValidate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		want   string
		change func(m *model.Manifest)
	}{
		{"format: it is 0, not 1", func(m *model.Manifest) { m.Format = 0 }},
		{"architecture: it is missing", func(m *model.Manifest) { m.Architecture = "" }},
		{"layers: 0 is not from 1", func(m *model.Manifest) { m.Layers = 0 }},
		{"layers: over the limit of 4096", func(m *model.Manifest) { m.Graph.Layers = 5000 }},
		{"graph.head_size: -1 is not from 1", func(m *model.Manifest) { m.Graph.HeadSize = -1 }},
		{"graph.logits: it is missing", func(m *model.Manifest) { m.Graph.Logits = "" }},
		{"graph.past_key: it must hold one %d", func(m *model.Manifest) { m.Graph.PastKey = "past.%d.%d" }},
		{"graph.past_value: it must hold one %d", func(m *model.Manifest) { m.Graph.PastValue = "past.%s" }},
		{`graph.kv_type: "int8" is not supported`, func(m *model.Manifest) { m.Graph.KVType = "int8" }},
		{`graph.file: "../model.onnx" is not the name of a file`, func(m *model.Manifest) { m.Graph.File = "../model.onnx" }},
		{`graph.data: ".." is not the name of a file`, func(m *model.Manifest) { m.Graph.Data = ".." }},
		{`graph.file: "" is not the name of a file`, func(m *model.Manifest) { m.Graph.File = "" }},
	} {
		m := manifest()
		test.change(&m)
		if _, err := m.Encode(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got error %v, want %q", err, test.want)
		}
	}
}

func TestReadOrigin(t *testing.T) {
	t.Parallel()
	spec := small()
	all := weights(spec, model.BF16, 8)
	path := writeGGUF(t, newGGUF(spec, all))
	got, err := model.ReadOrigin(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Format != "gguf" || got.License != "apache-2.0" || len(got.Files) != 1 || got.Files[0].Name != "model.gguf" || len(got.Files[0].SHA256) != 64 {
		t.Errorf("origin %+v", got)
	}
	got, err = model.ReadOrigin(t.Context(), writeCheckpoint(t, spec, all))
	if err != nil {
		t.Fatal(err)
	}
	if got.Format != "safetensors" || len(got.Files) != 2 || got.Files[0].Name != "config.json" || got.Files[1].Name != "model.safetensors" {
		t.Errorf("origin %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := model.ReadOrigin(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v", err)
	}
}

package model_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/internal/filetest"
)

// files reads all files of a folder.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		all[e.Name()] = readFile(t, dir, e.Name())
	}
	return all
}

// TestGGUFAssets reads a vocabulary and writes what goes beside it, twice the same.
func TestGGUFAssets(t *testing.T) {
	t.Parallel()
	spec := small()
	g := newGGUF(spec, weights(spec, model.F16, 12))
	g.Uint32("tokenizer.ggml.eot_token_id", 2)
	g.Float32("general.sampling.temp", 0.7)
	g.Uint32("general.sampling.top_k", 20)
	a, err := model.ReadAssets(writeGGUF(t, g))
	if err != nil {
		t.Fatal(err)
	}
	bos, eos, eot := uint32(1), uint32(0), uint32(2)
	temperature, topK := 0.7, 20
	want := model.Assets{
		Name: "Small", License: "apache-2.0", ChatTemplate: "{{ bos_token }}", BOSToken: "<s>", EOSToken: "<e>",
		Vocabulary: &model.Vocabulary{
			Model: "gpt2", Pre: "smollm", Tokens: []string{"<e>", "<s>", "a", "b", "c", "d", "e", "f", "g", "h", "i", "ab"},
			Types: []int32{3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, Merges: []string{"a b"}, BOS: &bos, EOS: &eos, EOT: &eot,
		},
		GenerationConfig: model.GenerationConfig{
			BOSTokenID: &bos, EOSTokenIDs: model.TokenIDs{0, 2}, Temperature: &temperature, TopK: &topK,
		},
	}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Errorf("Assets (-want +got):\n%s", diff)
	}
	wantFiles := map[string]string{
		"chat_template.jinja":    "{{ bos_token }}",
		"generation_config.json": "{\n  \"bos_token_id\": 1,\n  \"eos_token_id\": [\n    0,\n    2\n  ],\n  \"temperature\": 0.7,\n  \"top_k\": 20\n}\n",
		"tokenizer_config.json": "{\n  \"bos_token\": \"<s>\",\n  \"eos_token\": \"<e>\",\n  \"clean_up_tokenization_spaces\": false,\n" +
			"  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n",
	}
	for range 2 {
		dir := t.TempDir()
		if err := a.Write(dir); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantFiles, files(t, dir)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	}
}

// TestGGUFVocabularyForms reads what the metadata says about encoding, or leaves to llama.cpp's defaults.
func TestGGUFVocabularyForms(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		model, pre               string
		change                   func(g *filetest.GGUF)
		addBOS, addEOS, addSpace bool
	}{
		{model: "gpt2", pre: "smollm"},
		{model: "gpt2", pre: "llama-bpe", addBOS: true},
		{model: "llama", addBOS: true, addSpace: true},
		{model: "llama", addEOS: true, change: func(g *filetest.GGUF) {
			g.Bool("tokenizer.ggml.add_bos_token", false)
			g.Bool("tokenizer.ggml.add_eos_token", true)
			g.Bool("tokenizer.ggml.add_space_prefix", false)
		}},
	} {
		g := &filetest.GGUF{}
		g.Text("tokenizer.ggml.model", test.model)
		g.Text("tokenizer.ggml.pre", test.pre)
		g.Texts("tokenizer.ggml.tokens", "a")
		g.Float32s("tokenizer.ggml.scores", -1.5)
		if test.change != nil {
			test.change(g)
		}
		a, err := model.ReadAssets(writeGGUF(t, g))
		if err != nil {
			t.Fatal(err)
		}
		if v := a.Vocabulary; v.AddBOS != test.addBOS || v.AddEOS != test.addEOS || v.AddSpacePrefix != test.addSpace || v.Scores[0] != -1.5 {
			t.Errorf("%s %s: %+v", test.model, test.pre, v)
		}
	}
}

func TestGGUFAssetsRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(g *filetest.GGUF)
		want   string
	}{
		{"no vocabulary", func(*filetest.GGUF) {}, "tokenizer.ggml.model and tokenizer.ggml.tokens: it is missing"},
		{"tokens kind", func(g *filetest.GGUF) { g.Int32s("tokenizer.ggml.tokens", 1) }, "tokenizer.ggml.tokens: it is an array of int32, not an array of strings"},
		{"types", func(g *filetest.GGUF) {
			g.Text("tokenizer.ggml.model", "gpt2")
			g.Texts("tokenizer.ggml.tokens", "a", "b")
			g.Int32s("tokenizer.ggml.token_type", 1)
		}, "tokenizer.ggml.token_type: 1 values for 2 tokens"},
		{"end token", func(g *filetest.GGUF) {
			g.Text("tokenizer.ggml.model", "gpt2")
			g.Texts("tokenizer.ggml.tokens", "a", "b")
			g.Uint32("tokenizer.ggml.eos_token_id", 2)
		}, "tokenizer.ggml.eos_token_id: 2 is not in the vocabulary of 2"},
		{"huge id", func(g *filetest.GGUF) { g.Uint64("tokenizer.ggml.bos_token_id", 1<<40) }, "tokenizer.ggml.bos_token_id: 1099511627776 is no token id"},
		{"sampling", func(g *filetest.GGUF) {
			g.Text("tokenizer.ggml.model", "gpt2")
			g.Texts("tokenizer.ggml.tokens", "a")
			g.Float32("general.sampling.top_p", 7)
		}, "top_p: 7 is not from 0 to 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := &filetest.GGUF{}
			test.change(g)
			_, err := model.ReadAssets(writeGGUF(t, g))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

// TestCheckpointAssets copies a Hugging Face folder's files, and writes what it lacks.
func TestCheckpointAssets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeConfig(t, dir, config(small()))
	tokenizerConfig := `{"bos_token":"<s>","eos_token":"</s>","chat_template":"hello"}`
	for name, text := range map[string]string{
		"tokenizer.json": "T", "tokenizer_config.json": tokenizerConfig, "LICENSE.txt": "L", "NOTICE": "N", "README.md": "R",
		"model.safetensors": "M", "LICENSED_WEIGHTS": "W",
	} {
		writeFile(t, dir, name, []byte(text))
	}
	a, err := model.ReadAssets(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := a.Write(out); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"tokenizer.json": "T", "tokenizer_config.json": tokenizerConfig, "LICENSE.txt": "L", "NOTICE": "N", "chat_template.jinja": "hello",
		"generation_config.json": "{\n  \"bos_token_id\": 1,\n  \"eos_token_id\": 2\n}\n",
	}
	if diff := cmp.Diff(want, files(t, out)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if a.BOSToken != "<s>" || a.EOSToken != "</s>" || a.Vocabulary != nil || a.Pooling != "" {
		t.Errorf("assets %+v", a)
	}
	if err := os.Remove(filepath.Join(dir, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := model.ReadAssets(dir); err == nil || !strings.Contains(err.Error(), "tokenizer.json is missing") {
		t.Errorf("without a tokenizer: got error %v", err)
	}
}

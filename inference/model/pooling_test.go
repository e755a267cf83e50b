package model_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/internal/filetest"
)

// TestPooling reads how models were trained to give embeddings, as sentence-transformers and llama.cpp write it.
func TestPooling(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ config, want, fails string }{
		{config: `{"word_embedding_dimension":64,"pooling_mode_lasttoken":true,"pooling_mode_mean_tokens":false}`, want: "last"},
		{config: `{"pooling_mode_mean_tokens":true}`, want: "mean"},
		{config: `{"pooling_mode_cls_token":true,"pooling_mode_max_tokens":false}`, want: "cls"},
		{config: `{"pooling_mode":"lasttoken"}`, want: "last"},
		{config: `{"pooling_mode_max_tokens":true}`, fails: `["max"] is not supported`},
		{config: `{"pooling_mode":"attention"}`, fails: `["attention"] is not supported`},
		{config: `{"pooling_mode_mean_tokens":true,"pooling_mode_cls_token":true}`, fails: `["cls" "mean"] is not supported`},
		{config: `{}`, fails: `["none"] is not supported`},
		{config: `{"pooling_mode_cls_token":1}`, fails: "pooling_mode_cls_token"},
	} {
		dir := t.TempDir()
		writeConfig(t, dir, config(small()))
		writeFile(t, dir, "tokenizer.json", []byte("T"))
		if err := os.Mkdir(filepath.Join(dir, "1_Pooling"), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, filepath.Join("1_Pooling", "config.json"), []byte(test.config))
		a, err := model.ReadAssets(dir)
		if test.fails == "" && (err != nil || a.Pooling != test.want) || test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)) {
			t.Errorf("%s: %q, %v", test.config, a.Pooling, err)
		}
	}
	for value, want := range []string{"", "mean", "cls", "last", ""} {
		g := &filetest.GGUF{}
		g.Text("general.architecture", "qwen3")
		g.Text("tokenizer.ggml.model", "gpt2")
		g.Text("tokenizer.ggml.pre", "qwen2")
		g.Texts("tokenizer.ggml.tokens", "a")
		g.Uint32("qwen3.pooling_type", uint32(value))
		if a, err := model.ReadAssets(writeGGUF(t, g)); err != nil || a.Pooling != want {
			t.Errorf("%d: %q, %v", value, a.Pooling, err)
		}
	}
}

// TestCheckpointWithoutHead: a model that was saved without its head, as those for embeddings are, has its tensors' names
// without the beginning that they have under a head.
func TestCheckpointWithoutHead(t *testing.T) {
	t.Parallel()
	spec := small()
	spec.TiedEmbeddings = true
	all, bare := weights(spec, model.F32, 5), map[string]model.Tensor{}
	for name, tensor := range all {
		bare[strings.TrimPrefix(name, "model.")] = tensor
	}
	src, err := model.OpenSource(writeCheckpoint(t, spec, bare))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // read only
	for name, want := range all {
		if got, ok := src.Tensor(name); !ok || got.Name != name || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("%s: %v, %s", name, ok, got.Name)
		}
	}
}

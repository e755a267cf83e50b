package model_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model"
)

// realGGUF is the default model's GGUF in the cache.
func realGGUF(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the real model; run without -short")
	}
	home := os.Getenv("SLUICE_HOME")
	if home == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		home = filepath.Join(cache, "sluice")
	}
	path := filepath.Join(home, "downloads", "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%v: run `make setup`", err)
	}
	return path
}

// TestRealGGUF holds every weight of the real model, in Hugging Face's names and order of rows, to gguf-py's values.
// testdata/make_smollm2.py made the golden.
func TestRealGGUF(t *testing.T) {
	source, err := model.OpenSource(realGGUF(t))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	want := model.Spec{
		Architecture: "llama", VocabSize: 49152, HiddenSize: 576, IntermediateSize: 1536, Layers: 30, Heads: 9, KVHeads: 3,
		HeadSize: 64, ContextLength: 8192, RopeTheta: 100000, NormEpsilon: 1e-5, TiedEmbeddings: true,
	}
	if diff := cmp.Diff(want, source.Spec()); diff != "" {
		t.Errorf("Spec (-want +got):\n%s", diff)
	}
	golden, err := os.ReadFile(filepath.Join("testdata", "smollm2.txt"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(golden)), "\n")
	if got := len(source.Spec().Weights()); got != len(lines) {
		t.Errorf("the Spec has %d weights, the golden %d", got, len(lines))
	}
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		tensor, ok := source.Tensor(name)
		if !ok {
			t.Errorf("no tensor %s", name)
			continue
		}
		if got := describe(t, tensor); got != line {
			t.Errorf("got  %s\nwant %s", got, line)
		}
	}
}

// describe gives a tensor's line of the golden.
func describe(t *testing.T, tensor model.Tensor) string {
	t.Helper()
	values := dequantize(t, tensor)
	data := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
	}
	sum := sha256.Sum256(data)
	shape := strings.Trim(strings.ReplaceAll(fmt.Sprint(tensor.Shape), " ", "x"), "[]")
	return fmt.Sprintf("%s %v %s %s", tensor.Name, tensor.Type, shape, hex.EncodeToString(sum[:]))
}

// dequantize gives a tensor's values.
func dequantize(t *testing.T, tensor model.Tensor) []float32 {
	t.Helper()
	n := 1
	for _, d := range tensor.Shape {
		n *= d
	}
	values := make([]float32, n)
	if err := model.Dequantize(values, tensor.Type, tensor.Data); err != nil {
		t.Fatal(err)
	}
	return values
}

// TestRealAssets reads the vocabulary of the real model.
func TestRealAssets(t *testing.T) {
	a, err := model.ReadAssets(realGGUF(t))
	if err != nil {
		t.Fatal(err)
	}
	v := a.Vocabulary
	if len(v.Tokens) != 49152 || len(v.Merges) != 48900 || len(v.Types) != 49152 || v.Model != "gpt2" || v.Pre != "smollm" {
		t.Errorf("vocabulary: %d tokens, %d merges, %d types, model %q, pre %q", len(v.Tokens), len(v.Merges), len(v.Types),
			v.Model, v.Pre)
	}
	if a.License != "apache-2.0" || a.BOSToken != "<|im_start|>" || a.EOSToken != "<|im_end|>" || v.AddBOS || v.AddEOS {
		t.Errorf("licence %q, BOS %q, EOS %q, add BOS %v, add EOS %v", a.License, a.BOSToken, a.EOSToken, v.AddBOS, v.AddEOS)
	}
	if !strings.HasPrefix(a.ChatTemplate, "{% for message in messages %}") {
		t.Errorf("chat template %.60q", a.ChatTemplate)
	}
	if diff := cmp.Diff(model.TokenIDs{2}, a.GenerationConfig.EOSTokenIDs); diff != "" {
		t.Errorf("end tokens (-want +got):\n%s", diff)
	}
}

// TestRealFolder opens the converted default model.
func TestRealFolder(t *testing.T) {
	path := realGGUF(t)
	dir := filepath.Join(filepath.Dir(path), "..", "..", "models", "smollm2-135m-instruct")
	folder, err := model.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%v: run `make setup`", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if folder.Manifest.Layers != 30 || folder.Manifest.Graph.KVHeads != 3 || folder.EOSToken != "<|im_end|>" {
		t.Errorf("manifest %+v, EOS %q", folder.Manifest, folder.EOSToken)
	}
	report, err := model.Inspect(dir)
	if err != nil || report.Use != model.Serve {
		t.Errorf("Inspect = %+v, %v, want it served", report, err)
	}
}

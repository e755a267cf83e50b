package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// TestForeignFolders serves folders that others made and compares 64 greedy tokens, through gRPC and in company, with
// those of the folder's own runtime. The folders are of testdata of inference/ort, where foreign.py makes the graphs by
// onnxruntime-genai's and optimum's own exporters; FOREIGN_FOLDERS names more, separated by colons.
func TestForeignFolders(t *testing.T) {
	dirs := map[string]string{"genai": smallForeign(t, "genai.onnx"), "community": smallForeign(t, "optimum.onnx")}
	for i, dir := range filepath.SplitList(os.Getenv("FOREIGN_FOLDERS")) {
		dirs[fmt.Sprintf("folder%d", i+1)] = dir
	}
	arguments := []string{}
	for name, dir := range dirs {
		arguments = append(arguments, "--model", name+"="+dir)
	}
	s := serve(t, nil, append(arguments, "--slots", "4")...)
	prompts := [][]uint32{{5, 17, 3}, {40}, {7, 7, 12, 80, 33, 21, 9, 90, 4, 18, 66, 31, 8, 8, 50, 73, 2, 11}}
	for name, dir := range dirs {
		t.Run(name, func(t *testing.T) {
			compareForeign(t, s, name, dir, prompts)
		})
	}
}

// compareForeign runs the prompts at once, as the server's and as the folder's own runtime has it.
func compareForeign(t *testing.T, s *server, name, dir string, prompts [][]uint32) {
	t.Helper()
	const n = 64
	want := ownRuntime(t, dir, prompts, n)
	ctx := deadline(t)
	got := make([][]uint32, len(prompts))
	var group sync.WaitGroup
	for i, p := range prompts {
		group.Go(func() {
			got[i] = greedyIDs(ctx, t, s, name, p, n)
		})
	}
	group.Wait()
	for i := range prompts {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("prompt %d: got %v\nwant %v", i, got[i], want[i])
		}
	}
}

// greedyIDs is a greedy generation of n tokens that no end token ends.
func greedyIDs(ctx context.Context, t *testing.T, s *server, name string, ids []uint32, n uint32) []uint32 {
	sampling, ignore := greedy(n), true
	sampling.IgnoreEos = &ignore
	response, err := s.Generate(ctx, &sluicev1.GenerateRequest{
		Model: name, Input: &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: ids}},
		Sampling: sampling, Output: &sluicev1.OutputOptions{TokenIds: true},
	})
	if err != nil {
		t.Error(err)
		return nil
	}
	return response.GetOutputs()[0].GetTokenIds()
}

// ownRuntime is what the folder's own runtime generates.
func ownRuntime(t *testing.T, dir string, prompts [][]uint32, n int) [][]uint32 {
	t.Helper()
	arguments, err := json.Marshal(prompts)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), python(t), "testdata/foreign.py", dir, string(arguments), fmt.Sprint(n))
	// As `sluice serve` does: the two kernels of attention round in other places, and weights of 4 bits make another token
	// of that sooner or later.
	command.Env = append(os.Environ(), "ORT_GQA_DISABLE_FLASH_ATTENTION=1")
	var stderr strings.Builder
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var tokens [][]uint32
	if err := json.Unmarshal(output, &tokens); err != nil {
		t.Fatal(err)
	}
	return tokens
}

// python is the interpreter that has requirements-test.txt.
func python(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make .venv/.stamp`", err)
	}
	return path
}

// smallForeign puts a graph of inference/ort's testdata into the layout of the runtime that it was made for.
func smallForeign(t *testing.T, graph string) string {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile(filepath.Join("../../../inference/ort/testdata", graph))
	if err != nil {
		t.Fatal(err)
	}
	vocabulary := map[string]int{}
	for id := range 96 {
		vocabulary[string(rune(0x100+id))] = id
	}
	tokenizer, err := json.Marshal(map[string]any{
		"version": "1.0", "added_tokens": []any{}, "model": map[string]any{"type": "BPE", "vocab": vocabulary, "merges": []string{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"tokenizer.json": string(tokenizer)}
	if graph == "genai.onnx" {
		files["model.onnx"] = string(data)
		files["genai_config.json"] = `{"model": {"type": "llama", "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
"context_length": 512, "vocab_size": 96, "decoder": {"session_options": {"provider_options": []}, "filename": "model.onnx",
"head_size": 16, "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2,
"inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask", "past_key_names": "past_key_values.%d.key",
"past_value_names": "past_key_values.%d.value"}, "outputs": {"logits": "logits", "present_key_names": "present.%d.key",
"present_value_names": "present.%d.value"}}}, "search": {"do_sample": false, "max_length": 512, "past_present_share_buffer": true}}`
	} else {
		files["onnx/model.onnx"] = string(data)
		files["config.json"] = `{"model_type": "llama", "max_position_embeddings": 512, "eos_token_id": 2}`
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestGenAILayout converts the default model for onnxruntime-genai, which loads the folder, reads texts as Sluice does and
// generates the same tokens from it.
func TestGenAILayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "genai")
	if output, err := exec.CommandContext(t.Context(), binary, "convert", source(), "--out", dir, "--layout", "genai").CombinedOutput(); err != nil {
		t.Fatalf("convert: %v\n%s", err, output)
	}
	s := serve(t, nil, "--model", "genai="+dir, "--slots", "4")
	prompts := [][]uint32{{504, 3575, 282, 4649, 314}, {40}, {28120, 198, 2683, 3102, 281, 253, 1838}}
	compareForeign(t, s, "genai", dir, prompts)

	const text = "The capital of France is 1234, isn't it?\n  caf\u00e9"
	command := exec.CommandContext(t.Context(), python(t), "-c", `import json, sys, onnxruntime_genai as og
print(json.dumps([int(i) for i in og.Tokenizer(og.Model(sys.argv[1])).encode(sys.argv[2])]))`, dir, text)
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var theirs []uint32
	if err := json.Unmarshal(output, &theirs); err != nil {
		t.Fatal(err)
	}
	ours, err := s.tokenizer.Tokenize(deadline(t), &sluicev1.TokenizeRequest{Text: text})
	if err != nil {
		t.Fatal(err)
	}
	var ids []uint32
	for _, token := range ours.GetTokens() {
		ids = append(ids, token.GetId())
	}
	if !slices.Equal(ids, theirs) {
		t.Errorf("onnxruntime-genai reads the text as %v, Sluice as %v", theirs, ids)
	}
}

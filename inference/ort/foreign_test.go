package ort

import (
	"encoding/json/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/runner"
)

// foreignConfig is one of the graphs of testdata/foreign.py, opened as a folder of onnx-community.
func foreignConfig(t *testing.T, file string) Config {
	t.Helper()
	dir := t.TempDir()
	graph, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"config.json":     []byte(`{"model_type":"llama","max_position_embeddings":512,"head_dim":16,"num_key_value_heads":2}`),
		"tokenizer.json":  []byte(`{}`),
		"onnx/model.onnx": graph,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	folder, err := model.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Model: folder.ModelPath, Graph: folder.Manifest.Graph, ContextLength: 512, Device: Device{Provider: CPU, Threads: 2},
		Slots: 5, MaxLength: 64, MaxChunk: 8, PrefixBytes: 1 << 20,
	}
}

// foreignFiles are the graphs of other exporters and whether their caches may be shared buffers.
func foreignFiles() map[string]bool {
	return map[string]bool{"genai.onnx": true, "genai_fp16.onnx": true, "genai_fp16_keep.onnx": true, "optimum.onnx": false, "optimum_fp16.onnx": false}
}

// TestForeignGraphs generates several rows at once with graphs of other exporters: the tokens are those of transformers,
// which has no cache at all here.
func TestForeignGraphs(t *testing.T) {
	env := openEnvironment(t)
	data, err := os.ReadFile("testdata/foreign.json")
	if err != nil {
		t.Fatal(err)
	}
	var want []struct {
		Prompt []uint32 `json:"prompt"`
		Tokens []uint32 `json:"tokens"`
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	for file, shared := range foreignFiles() {
		t.Run(file, func(t *testing.T) {
			config := foreignConfig(t, file)
			if got := config.Graph.Masked.Shared; got != shared {
				t.Errorf("a shared buffer: %t, want %t", got, shared)
			}
			s := openSession(t, env, config)
			got := make([][]uint32, len(want))
			var rows []runner.DecodeRow
			for i, w := range want {
				token := best(prefill(t, s, i, 0, w.Prompt, config.MaxChunk))
				got[i] = []uint32{token}
				rows = append(rows, runner.DecodeRow{Slot: i, Token: token, Past: len(w.Prompt)})
			}
			for len(got[0]) < len(want[0].Tokens) {
				for i, logits := range step(t, s, runner.Step{Decode: rows}).Decode {
					rows[i].Token, rows[i].Past = best(logits), rows[i].Past+1
					got[i] = append(got[i], rows[i].Token)
				}
			}
			for i, w := range want {
				tokens := len(w.Tokens)
				if strings.Contains(file, "fp16") { // rounding tells sooner or later, not at once
					tokens = 4
				}
				if !slices.Equal(got[i][:tokens], w.Tokens[:tokens]) {
					t.Errorf("prompt %d: got %v, want %v", i, got[i], w.Tokens)
				}
			}
		})
	}
}

// TestForeignConformance runs the graphs of other exporters through what every session must hold.
func TestForeignConformance(t *testing.T) {
	env := openEnvironment(t)
	for file, shared := range foreignFiles() {
		t.Run(file, func(t *testing.T) {
			config := foreignConfig(t, file)
			inferencetest.TestSession(t, func() runner.Session {
				s, err := env.Open(config)
				if err != nil {
					t.Fatal(err)
				}
				if fixed := s.Limits().FixedChunks; fixed == shared {
					t.Errorf("chunks are fixed: %t, with a shared buffer: %t", fixed, shared)
				}
				return s
			})
		})
	}
}

// best is the token with the largest logit.
func best(logits []float32) uint32 {
	return uint32(slices.Index(logits, slices.Max(logits)))
}

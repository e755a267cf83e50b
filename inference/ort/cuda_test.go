//go:build cuda

package ort

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

// TestCUDA compares the first GPU with the CPU. It needs a GPU, CUDA 13 and cuDNN 9, and `sluice setup --device cuda`.
func TestCUDA(t *testing.T) {
	found, err := filepath.Glob(filepath.Join(cacheHome(t), "runtime", "cuda", "libonnxruntime.so.*"))
	if err != nil || len(found) == 0 {
		t.Fatal("no ONNX Runtime for CUDA: run `sluice setup --device cuda`")
	}
	env, err := OpenEnvironment(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := env.Close(); err != nil {
			t.Error(err)
		}
	}()
	config := tinyConfig()
	tokens := prompt(rand.New(rand.NewPCG(1, 2)), config.Graph.VocabSize, 100)
	run := func(device Device) [][]float32 {
		config.Device = device
		return alone(t, env, config, tokens[:90], tokens[90:])
	}
	want, got := run(Device{Provider: CPU, Threads: 2}), run(Device{Provider: CUDA})
	for i := range want {
		for v := range want[i] {
			if math.Abs(float64(got[i][v]-want[i][v])) > 1e-2 {
				t.Fatalf("step %d, token %d: %v on the GPU, %v on the CPU", i, v, got[i][v], want[i][v])
			}
		}
	}

	config.Device = Device{Provider: CUDA, ID: maxDeviceID}
	if s, err := env.Open(config); err == nil {
		_ = s.Close()
		t.Errorf("%s is accepted", config.Device)
	}

	// Rows and a chunk in one step.
	config.Device = Device{Provider: CUDA}
	s, err := env.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	prefill(t, s, 0, 0, tokens[:90], config.MaxChunk)
	logits := step(t, s, runner.Step{
		Decode: []runner.DecodeRow{{Token: tokens[90], Past: 90}},
		Chunks: []runner.Chunk{{Slot: 1, Tokens: tokens[:20], Logits: true}},
	})
	for v, got := range logits.Decode[0] {
		if math.Abs(float64(got-want[1][v])) > 1e-2 {
			t.Fatalf("beside a chunk, token %d: %v on the GPU, %v on the CPU", v, got, want[1][v])
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

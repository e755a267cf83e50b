package ort

import (
	"testing"

	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

// TestRealConformance runs the default model through what every session must hold.
func TestRealConformance(t *testing.T) {
	config := realConfig(t)
	config.Slots, config.MaxLength, config.MaxChunk = 5, 64, 32
	config.PrefixBytes = 4 << 20
	env := openEnvironment(t)
	inferencetest.TestSession(t, func() runner.Session {
		s, err := env.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// TestRealRaggedBatch runs the default model over rows of very different lengths.
func TestRealRaggedBatch(t *testing.T) {
	config := realConfig(t)
	testRaggedBatch(t, openEnvironment(t), config, []int{1, 250, 3, 400, 64, 17})
}

// TestRealChunks cuts a prompt of the default model in ways that hit the kernels' edges.
func TestRealChunks(t *testing.T) {
	config := realConfig(t)
	config.MaxChunk = 257
	testChunks(t, openEnvironment(t), config, []int{2, 129, 257}, []int{7, 64, 128})
}

package ort

import (
	"testing"

	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/ort/kernels"
	"github.com/sluiceml/sluice/inference/runner"
)

// TestRealConformance runs the default model through what every session must hold.
func TestRealConformance(t *testing.T) {
	config := realConfig(t)
	config.Slots, config.MaxLength, config.MaxChunk = 5, 64, 32
	config.PrefixBytes = 4 << 20
	env := openEnvironment(t)
	byOperators(t, config, func(t *testing.T, config Config) {
		inferencetest.TestSession(t, func() runner.Session {
			s, err := env.Open(config)
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
	})
}

// byOperators runs a test with the operators of package kernels, by each variant that the processor can run, and with ONNX
// Runtime's own.
func byOperators(t *testing.T, config Config, test func(t *testing.T, config Config)) {
	t.Helper()
	for config.variant = kernels.AVX2; config.variant <= kernels.Best(); config.variant++ {
		t.Run("kernels "+config.variant.String(), func(t *testing.T) { test(t, config) })
	}
	config.variant = kernels.None
	config.NoKernels = true
	t.Run("onnxruntime", func(t *testing.T) { test(t, config) })
}

// TestRealRaggedBatch runs the default model over rows of very different lengths.
func TestRealRaggedBatch(t *testing.T) {
	env := openEnvironment(t)
	byOperators(t, realConfig(t), func(t *testing.T, config Config) {
		testRaggedBatch(t, env, config, []int{1, 250, 3, 400, 64, 17})
	})
}

// TestRealChunks cuts a prompt of the default model in ways that hit the kernels' edges.
func TestRealChunks(t *testing.T) {
	config := realConfig(t)
	config.MaxChunk = 257
	env := openEnvironment(t)
	byOperators(t, config, func(t *testing.T, config Config) {
		testChunks(t, env, config, []int{2, 129, 257}, []int{7, 64, 128})
	})
}

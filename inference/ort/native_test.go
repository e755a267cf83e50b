package ort

import (
	"math"
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

// TestNativeNearOperators: a model run by the kernels gives nearly the logits that ONNX Runtime's own operators give.
func TestNativeNearOperators(t *testing.T) {
	config := realConfig(t)
	env := openEnvironment(t)
	s := openSession(t, env, config)
	if s.executor == nil {
		t.Skip("this processor has no kernels")
	}
	config.NoKernels = true
	plain := openSession(t, env, config)
	if plain.executor != nil {
		t.Fatal("kernels run that were turned off")
	}
	tokens := benchmarkPrompt(config)
	got, want := prefill(t, s, 0, 0, tokens, 128), prefill(t, plain, 0, 0, tokens, 128)
	check := func(name string, got, want []float32) {
		t.Helper()
		if d := divergence(want, got); !(d < 0.01) {
			t.Errorf("%s: the KL divergence is %v", name, d)
		} else {
			t.Logf("%s: KL %.5f", name, d)
		}
	}
	check("prompt", got, want)
	for i := range 20 {
		st := runner.Step{Decode: []runner.DecodeRow{{Token: tokens[i], Past: len(tokens) + i}}}
		check("decode", step(t, s, st).Decode[0], step(t, plain, st).Decode[0])
	}
}

// divergence is the KL divergence of the distributions of logits.
func divergence(want, got []float32) float64 {
	p, q := logSoftmax(want), logSoftmax(got)
	sum := 0.0
	for i := range p {
		sum += math.Exp(p[i]) * (p[i] - q[i])
	}
	return sum
}

func logSoftmax(logits []float32) []float64 {
	most := math.Inf(-1)
	for _, v := range logits {
		most = max(most, float64(v))
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - most)
	}
	out := make([]float64, len(logits))
	for i, v := range logits {
		out[i] = float64(v) - most - math.Log(sum)
	}
	return out
}

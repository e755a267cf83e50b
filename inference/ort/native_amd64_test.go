package ort

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/ort/kernels"
	"github.com/sluiceml/sluice/inference/runner"
)

func (n *native) lastLane() *lane { return n.lane }

func (n *native) spoil() {
	const nan = 0x7e00
	for _, buffer := range n.slots.buffers {
		for i := range buffer {
			buffer[i] = nan
		}
	}
}

// openNative opens the default model on the kernels.
func openNative(t *testing.T, env *Environment, config Config) (*Session, *native) {
	t.Helper()
	if !kernels.Supported() {
		t.Skip("this processor has neither AVX2 nor AVX-512 VNNI")
	}
	s := openSession(t, env, config)
	n, ok := s.executor.(*native)
	if !ok {
		t.Fatal("the default model does not run on the kernels")
	}
	return s, n
}

// TestNativeNearOperators: the kernels give nearly the logits that ONNX Runtime's own operators give. Both round
// activations to 8 bits; how near each comes to float32 is told in docs/benchmarks.md.
func TestNativeNearOperators(t *testing.T) {
	config := realConfig(t)
	env := openEnvironment(t)
	s, _ := openNative(t, env, config)
	config.NoKernels = true
	plain := openSession(t, env, config)
	if plain.executor != nil {
		t.Fatal("kernels run that were turned off")
	}
	tokens := benchmarkPrompt(config)
	sum, n := 0.0, 0
	for past := 0; past < len(tokens); past += 16 {
		st := runner.Step{Chunks: []runner.Chunk{{Tokens: tokens[past : past+16], Past: past, Rows: true}}}
		got, want := step(t, s, st).Rows, step(t, plain, st).Rows
		for i := range got {
			sum += divergence(want[i], got[i])
			n++
		}
	}
	if mean := sum / float64(n); !(mean > 0 && mean < 0.05) {
		t.Errorf("a mean KL divergence of %v over random tokens", mean)
	}
}

// TestNativeDecodedPositions: the keys and values that decoding leaves are those that the same tokens leave as part of a
// prompt, and so are the logits, bit by bit.
func TestNativeDecodedPositions(t *testing.T) {
	const length, decoded = 60, 41
	config := realConfig(t)
	s, n := openNative(t, openEnvironment(t), config)
	tokens := prompt(rand.New(rand.NewPCG(21, 22)), config.Graph.VocabSize, length+decoded)
	prefill(t, s, 0, 0, tokens[:length], 64)
	var last []float32
	for i, token := range tokens[length:] {
		last = step(t, s, runner.Step{Decode: []runner.DecodeRow{{Token: token, Past: length + i}}}).Decode[0]
	}
	last = slices.Clone(last)
	if whole := prefill(t, s, 1, 0, tokens, 128); !slices.Equal(whole, last) {
		t.Error("the logits differ")
	}
	for i := range n.slots.buffers {
		a, b := n.slots.view(i, 0, 1), n.slots.view(i, 1, 2)
		for head := 0; head < len(a); head += n.slots.head {
			whole := head + (length+decoded)/kernels.PositionUnit*kernels.PositionUnit*n.slots.width
			if !slices.Equal(a[head:whole], b[head:whole]) {
				t.Fatalf("buffer %d differs", i)
			}
		}
	}
}

// TestNativeThreads: the number of threads does not show.
func TestNativeThreads(t *testing.T) {
	config := realConfig(t)
	env := openEnvironment(t)
	var first []float32
	for threads := 1; threads <= 3; threads++ {
		config.Device.Threads = threads
		s, _ := openNative(t, env, config)
		got := prefill(t, s, 0, 0, benchmarkPrompt(config), 128)
		if first == nil {
			first = got
		}
		if !slices.Equal(got, first) {
			t.Errorf("the logits of %d threads differ", threads)
		}
	}
}

// TestNativeVariants: which variant of the kernels computes does not show: in no bit of the logits of prompts and decoded tokens.
func TestNativeVariants(t *testing.T) {
	if kernels.Best() != kernels.AVX512 {
		t.Skip("this processor has no AVX-512 VNNI to compare AVX2 with")
	}
	config := realConfig(t)
	env := openEnvironment(t)
	logits := map[kernels.Variant][][]float32{}
	for config.variant = kernels.AVX2; config.variant <= kernels.AVX512; config.variant++ {
		s, _ := openNative(t, env, config)
		tokens := benchmarkPrompt(config)
		all := inChunks(t, s, tokens, runner.MaxRows)
		for i := range 40 { // beside a prompt of another slot
			got := step(t, s, runner.Step{
				Decode: []runner.DecodeRow{{Token: tokens[i], Past: len(tokens) + i}},
				Chunks: []runner.Chunk{{Slot: 1, Tokens: tokens[3*i : 3*i+3], Past: 3 * i, Logits: true}},
			})
			all = append(all, slices.Clone(got.Decode[0]), slices.Clone(got.Chunks[0]))
		}
		logits[config.variant] = all
	}
	for i, want := range logits[kernels.AVX512] {
		if !slices.Equal(logits[kernels.AVX2][i], want) {
			t.Fatalf("logits %d differ", i)
		}
	}
}

// TestNativeSaveWithinGroup: keys lie in groups of positions, so what starts within one cannot be copied.
func TestNativeSaveWithinGroup(t *testing.T) {
	config := realConfig(t)
	config.PrefixBytes = 4 << 20
	s, _ := openNative(t, openEnvironment(t), config)
	tokens := prompt(rand.New(rand.NewPCG(23, 24)), config.Graph.VocabSize, 2*runner.BlockSize)
	prefill(t, s, 0, 0, tokens, 64)
	if err := s.SaveBlocks(0, runner.BlockSize/2, []int{0}); err == nil {
		t.Error("a block that starts within a group of keys was saved")
	}
	if err := s.SaveBlocks(0, runner.BlockSize, []int{0}); err != nil {
		t.Error(err)
	}
}

// TestWeightsPackOnDemand: without the kernels, their copy of the weights is not made.
func TestWeightsPackOnDemand(t *testing.T) {
	if !kernels.Supported() {
		t.Skip("this processor has neither AVX2 nor AVX-512 VNNI")
	}
	config := realConfig(t)
	config.Slots, config.MaxLength, config.MaxChunk, config.NoKernels = 1, 64, 16, true
	env := openEnvironment(t)
	w := shareWeights(t, env, config)
	config.Weights = w
	openSession(t, env, config)
	if w.mu.packed != nil {
		t.Error("packed for a session without kernels")
	}
	if p, err := w.kernels(); err != nil || p == nil {
		t.Errorf("not packed for the kernels: %v", err)
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
	most, sum := float64(slices.Max(logits)), 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - most)
	}
	out := make([]float64, len(logits))
	for i, v := range logits {
		out[i] = float64(v) - most - math.Log(sum)
	}
	return out
}

package ort

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

// TestRealDecodedPositions compares the keys and values that decoding leaves with those that the same tokens leave as
// part of a prompt, by ONNX Runtime's own operators. It demands nothing: the figure is why generated tokens stay out of
// the prefix store (ADR 3).
func TestRealDecodedPositions(t *testing.T) {
	const length, decoded = 64, 32
	config := realConfig(t)
	config.NoKernels = true
	s := openSession(t, openEnvironment(t), config)
	tokens := prompt(rand.New(rand.NewPCG(21, 22)), config.Graph.VocabSize, length+decoded)
	prefill(t, s, 0, 0, tokens[:length], 64)
	for i, token := range tokens[length:] {
		step(t, s, runner.Step{Decode: []runner.DecodeRow{{Token: token, Past: length + i}}})
	}
	prefill(t, s, 1, 0, tokens, 128)
	different, worst := 0, float32(0)
	for i := range s.cache.buffers {
		a, b := s.cache.view(i, 0, 1), s.cache.view(i, 1, 2)
		for head := 0; head < len(a); head += s.cache.head {
			for at := head; at < head+(length+decoded)*s.cache.width; at++ {
				if a[at] == b[at] {
					continue
				}
				if at < head+length*s.cache.width {
					t.Fatal("the keys and values of the prompt itself differ")
				}
				different++
				worst = max(worst, a[at]-b[at], b[at]-a[at])
			}
		}
	}
	all := len(s.cache.buffers) * config.Graph.KVHeads * decoded * config.Graph.HeadSize
	t.Logf("%.1f %% of the keys and values of %d decoded tokens differ, by up to %g", 100*float64(different)/float64(all), decoded, worst)
}

// TestRealBlocks runs prompts of the default model after prefixes of every length up to some blocks, loaded from a
// store in which other prompts' blocks lie around them.
func TestRealBlocks(t *testing.T) {
	config := realConfig(t)
	config.PrefixBytes = 64 << 20
	env := openEnvironment(t)
	byOperators(t, config, func(t *testing.T, config Config) { testBlocks(t, openSession(t, env, config)) })
}

func testBlocks(t *testing.T, s *Session) {
	config := s.config
	random := rand.New(rand.NewPCG(23, 24))
	tokens := prompt(random, config.Graph.VocabSize, 260)
	want := prefill(t, s, 0, 0, tokens, 128)
	blocks := random.Perm(s.Limits().Blocks)[:len(tokens)/runner.BlockSize]
	if err := s.SaveBlocks(0, 0, blocks); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= len(blocks); n++ {
		slot := n % config.Slots
		prefill(t, s, slot, 0, prompt(random, config.Graph.VocabSize, 30), 128) // something else lies there
		past := n*runner.BlockSize - n%3
		if err := s.LoadBlocks(slot, blocks[:n], past); err != nil {
			t.Fatal(err)
		}
		if got := prefill(t, s, slot, past, tokens[past:], 128); !slices.Equal(got, want) {
			t.Errorf("after %d blocks the logits differ", n)
		}
	}
}

// BenchmarkBlocks copies a prefix of 1,008 tokens of the default model out of a slot and into it: warm, and into a slot
// whose memory was given back.
func BenchmarkBlocks(b *testing.B) {
	config := realConfig(b)
	config.PrefixBytes = 64 << 20
	s := openSession(b, openEnvironment(b), config)
	blocks := rand.New(rand.NewPCG(1, 2)).Perm(s.Limits().Blocks)[:63]
	size := int64(len(blocks) * s.Limits().BlockBytes)
	b.Run("save", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			if err := s.SaveBlocks(0, 0, blocks); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			if err := s.LoadBlocks(1, blocks, len(blocks)*runner.BlockSize); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load into a released slot", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			s.ReleaseSlot(1)
			if err := s.LoadBlocks(1, blocks, len(blocks)*runner.BlockSize); err != nil {
				b.Fatal(err)
			}
		}
	})
}

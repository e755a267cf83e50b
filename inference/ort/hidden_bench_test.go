package ort

import (
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

// BenchmarkHidden compares a chunk of a prompt whose hidden states are wanted with one whose last logits are.
func BenchmarkHidden(b *testing.B) {
	config := realConfig(b)
	config.Slots, config.MaxLength = 8, 512
	s := openSession(b, openEnvironment(b), config)
	tokens := benchmarkPrompt(config)[:128]
	for _, c := range []struct {
		name  string
		chunk runner.Chunk
	}{
		{"logits", runner.Chunk{Tokens: tokens, Logits: true}}, {"hidden", runner.Chunk{Tokens: tokens, Hidden: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				step(b, s, runner.Step{Chunks: []runner.Chunk{c.chunk}})
			}
		})
	}
}

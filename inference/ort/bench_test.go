package ort

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

// benchmarkContext is how many positions each row holds while it decodes.
const benchmarkContext = 128

// BenchmarkDecode runs steps of decode rows of the default model at context 128, on a prompt's true keys and values:
// on random ones attention takes half as long again. Beside ns/op it reports tokens per second.
func BenchmarkDecode(b *testing.B) {
	config := realConfig(b)
	s := openSession(b, openEnvironment(b), config)
	tokens := benchmarkPrompt(config)
	for slot := range config.Slots - 1 {
		prefill(b, s, slot, 0, tokens, config.MaxChunk)
	}
	for _, n := range []int{1, 8, 16} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			st := runner.Step{Decode: rows(tokens[:n], benchmarkContext)}
			step(b, s, st) // binds
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Step(st); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkRun is the least that a decode step of BenchmarkDecode can take: ONNX Runtime's run alone. What a step costs
// more is Sluice's.
func BenchmarkRun(b *testing.B) {
	config := realConfig(b)
	s := openSession(b, openEnvironment(b), config)
	tokens := benchmarkPrompt(config)
	for slot := range config.Slots - 1 {
		prefill(b, s, slot, 0, tokens, config.MaxChunk)
	}
	for _, n := range []int{1, 8, 16} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			st := runner.Step{Decode: rows(tokens[:n], benchmarkContext)}
			step(b, s, st)
			for b.Loop() {
				if err := laneOf(s, n).run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPrefill runs prompts of 128 tokens, last logits only.
func BenchmarkPrefill(b *testing.B) {
	config := realConfig(b)
	s := openSession(b, openEnvironment(b), config)
	chunks := []runner.Chunk{{Tokens: benchmarkPrompt(config), Logits: true}}
	for b.Loop() {
		if _, err := s.Step(runner.Step{Chunks: chunks}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(chunks[0].Tokens))*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}

// BenchmarkStepOverhead runs the tiny model, whose runs take almost no time.
func BenchmarkStepOverhead(b *testing.B) {
	s := openSession(b, openEnvironment(b), tinyConfig())
	st := runner.Step{Decode: rows(make([]uint32, 8), 0)}
	step(b, s, st)
	b.Run("step", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Step(st); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("run", func(b *testing.B) {
		for b.Loop() {
			if err := laneOf(s, 8).run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkOpen loads the default model and runs it once.
func BenchmarkOpen(b *testing.B) {
	config := realConfig(b)
	env := openEnvironment(b)
	for b.Loop() {
		s, err := env.Open(config)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkPrompt draws a prompt of benchmarkContext tokens.
func benchmarkPrompt(config Config) []uint32 {
	return prompt(rand.New(rand.NewPCG(1, 2)), config.Graph.VocabSize, benchmarkContext)
}

// laneOf is the lane of the last step, one of so many rows.
func laneOf(s *Session, rows int) *lane {
	if s.executor == nil {
		return s.decode[rows]
	}
	return s.executor.(interface{ lastLane() *lane }).lastLane()
}

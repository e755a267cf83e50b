package ort

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluiceml/sluice/inference/runner"
)

// benchmarkContext is how many positions each row holds while it decodes.
const benchmarkContext = 128

// BenchmarkDecode runs steps of decode rows of the default model on a prompt's true keys and values: on random ones
// attention takes half as long again. Beside ns/op it reports tokens per second of the clock, and the time of all
// processors, waiting for each other included: of one thread, that is the figure to compare on a machine that does other
// work too.
func BenchmarkDecode(b *testing.B) {
	for _, threads := range []int{1, 2} {
		for _, c := range []struct{ context, rows int }{
			{benchmarkContext, 1}, {benchmarkContext, 4}, {benchmarkContext, 8}, {benchmarkContext, 16}, {1024, 1}, {1024, 8},
		} {
			b.Run(fmt.Sprintf("threads=%d/context=%d/rows=%d", threads, c.context, c.rows), func(b *testing.B) {
				config := realConfig(b)
				config.Device.Threads, config.MaxChunk = threads, 512
				s := openSession(b, openEnvironment(b), config)
				tokens := benchmarkPrompt(config)
				for slot := range c.rows {
					for past := 0; past < c.context; past += len(tokens) {
						prefill(b, s, slot, past, tokens, config.MaxChunk)
					}
				}
				measureSteps(b, s, runner.Step{Decode: rows(tokens[:c.rows], c.context)}, c.rows)
			})
		}
	}
}

// BenchmarkPrefill runs prompts, last logits only: one, and several of 128 tokens in one step.
func BenchmarkPrefill(b *testing.B) {
	for _, threads := range []int{1, 2} {
		for _, c := range []struct{ prompts, tokens int }{{1, 16}, {1, 64}, {1, 128}, {1, 512}, {4, 128}} {
			b.Run(fmt.Sprintf("threads=%d/prompts=%d/tokens=%d", threads, c.prompts, c.tokens), func(b *testing.B) {
				config := realConfig(b)
				config.Device.Threads, config.MaxChunk = threads, 512
				s := openSession(b, openEnvironment(b), config)
				if c.prompts > 1 && !s.Limits().Uniform {
					b.Skip("this session takes one prompt a step")
				}
				var st runner.Step
				for slot := range c.prompts {
					tokens := prompt(rand.New(rand.NewPCG(1, uint64(slot))), config.Graph.VocabSize, c.tokens)
					st.Chunks = append(st.Chunks, runner.Chunk{Slot: slot, Tokens: tokens, Logits: true})
				}
				measureSteps(b, s, st, c.prompts*c.tokens)
			})
		}
	}
}

// measureSteps runs one step again and again.
func measureSteps(b *testing.B, s *Session, st runner.Step, tokens int) {
	b.Helper()
	step(b, s, st) // binds
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		if _, err := s.Step(st); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((processorTime(b)-before).Seconds()*1e3/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(tokens)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}

// processorTime is what the process has taken of all processors.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
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

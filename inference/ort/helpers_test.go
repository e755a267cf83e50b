package ort

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/runner"
)

// cacheHome is the folder that `make setup` fills.
func cacheHome(tb testing.TB) string {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs the real ONNX Runtime; run without -short")
	}
	if home := os.Getenv("SLUICE_HOME"); home != "" {
		return home
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(dir, "sluice")
}

// library is the path of the ONNX Runtime library.
func library(tb testing.TB) string {
	tb.Helper()
	found, err := filepath.Glob(filepath.Join(cacheHome(tb), "runtime", "libonnxruntime*"))
	if err != nil {
		tb.Fatal(err)
	}
	if len(found) == 0 {
		tb.Fatalf("no ONNX Runtime in %s: run `make setup`", cacheHome(tb))
	}
	return found[0]
}

// openEnvironment opens the environment for one test.
func openEnvironment(tb testing.TB) *Environment {
	tb.Helper()
	env, err := OpenEnvironment(library(tb))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := env.Close(); err != nil {
			tb.Error(err)
		}
	})
	return env
}

// tinyConfig is testdata/tiny.onnx, which testdata/tiny.py makes.
func tinyConfig() Config {
	graph := model.DefaultGraph(model.Spec{Layers: 2, KVHeads: 2, HeadSize: 16, VocabSize: 96})
	return Config{
		Model: "testdata/tiny.onnx", Graph: graph, ContextLength: 512, Device: Device{Provider: CPU, Threads: 2},
		Slots: 8, MaxLength: 512, MaxChunk: 64, PrefixBytes: 1 << 20,
	}
}

// realConfig is the default model.
func realConfig(tb testing.TB) Config {
	tb.Helper()
	dir := filepath.Join(cacheHome(tb), "models", "smollm2-135m-instruct")
	manifest, err := model.ReadManifest(dir)
	if err != nil {
		tb.Fatalf("%v: run `make setup`", err)
	}
	return Config{
		Model: filepath.Join(dir, manifest.Graph.File), Graph: manifest.Graph, ContextLength: manifest.ContextLength,
		Device: Device{Provider: CPU, Threads: 2}, Slots: 17, MaxLength: 2048, MaxChunk: 128,
	}
}

// openSession opens a session for one test.
func openSession(tb testing.TB, env *Environment, config Config) *Session {
	tb.Helper()
	s, err := env.Open(config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// prompt draws tokens.
func prompt(random *rand.Rand, vocabulary, n int) []uint32 {
	tokens := make([]uint32, n)
	for i := range tokens {
		tokens[i] = random.Uint32N(uint32(vocabulary))
	}
	return tokens
}

// prefill runs a prompt from a position on, in chunks of at most size tokens, and returns a copy of the last logits.
func prefill(tb testing.TB, s runner.Session, slot, past int, tokens []uint32, size int) []float32 {
	tb.Helper()
	var last []float32
	end := past + len(tokens)
	for chunk := range slices.Chunk(tokens, size) {
		wanted := past+len(chunk) == end
		last = step(tb, s, runner.Step{
			Chunks: []runner.Chunk{{Slot: slot, Tokens: chunk, Past: past, Logits: wanted}},
		}).Chunks[0]
		past += len(chunk)
	}
	return slices.Clone(last)
}

// step runs a step that must succeed.
func step(tb testing.TB, s runner.Session, st runner.Step) runner.Logits {
	tb.Helper()
	logits, err := s.Step(st)
	if err != nil {
		tb.Fatal(err)
	}
	return logits
}

// rows are decode rows in the first slots, each at the same position.
func rows(tokens []uint32, past int) []runner.DecodeRow {
	rows := make([]runner.DecodeRow, len(tokens))
	for i, token := range tokens {
		rows[i] = runner.DecodeRow{Slot: i, Token: token, Past: past}
	}
	return rows
}

// alone is the reference: the logits after a prompt and each of the tokens decoded after it, run in a session of their
// own, with the prompt in as few chunks as may be.
func alone(tb testing.TB, env *Environment, config Config, tokens, decoded []uint32) [][]float32 {
	tb.Helper()
	config.Slots = 1
	s, err := env.Open(config)
	if err != nil {
		tb.Fatal(err)
	}
	logits := [][]float32{prefill(tb, s, 0, 0, tokens, config.MaxChunk)}
	for i, token := range decoded {
		row := runner.DecodeRow{Token: token, Past: len(tokens) + i}
		logits = append(logits, slices.Clone(step(tb, s, runner.Step{Decode: []runner.DecodeRow{row}}).Decode[0]))
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	return logits
}

// shareWeights shares the weights of a model until the test ends.
func shareWeights(t *testing.T, env *Environment, config Config) *Weights {
	t.Helper()
	w, err := env.ShareWeights(config.Model, config.Graph)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

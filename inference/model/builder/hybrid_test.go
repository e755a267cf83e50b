//go:build cgo

package builder

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/inference/runner"
)

// hybridSpec is large enough for the test of sessions.
func hybridSpec() model.Spec {
	spec := tinySpec()
	spec.ContextLength = 64
	return spec
}

// hybridFolder converts a small model to a hybrid graph.
func hybridFolder(t *testing.T, spec model.Spec) (string, model.Manifest) {
	t.Helper()
	dir := t.TempDir()
	m, err := Build(t.Context(), newMemory(spec, nil), dir, Options{Quantize: FormRow8, Calibration: [][]uint32{calibrationPrompt()}})
	if err != nil {
		t.Fatal(err)
	}
	if m.Graph.Hybrid == nil || m.Graph.KVType != "int8" {
		t.Fatalf("the graph is %+v", m.Graph)
	}
	return dir, m
}

func hybridConfig(dir string, m model.Manifest) ort.Config {
	return ort.Config{
		NoKernels: true, // it is the graph that is tested
		Model:     filepath.Join(dir, m.Graph.File), Graph: m.Graph, ContextLength: m.ContextLength,
		Device: ort.Device{Provider: ort.CPU, Threads: 2}, Slots: 5, MaxLength: m.ContextLength, MaxChunk: 32,
		PrefixBytes: 1 << 20,
	}
}

// TestHybridConformance: a hybrid graph keeps what every session must: a sequence's logits are the same, bit for bit,
// whatever shares its step, however its prompt is cut and wherever it lies.
func TestHybridConformance(t *testing.T) {
	env := environment(t)
	for name, spec := range map[string]func(*model.Spec){
		"tied":             func(*model.Spec) {},
		"biases, a head":   func(s *model.Spec) { s.AttentionBias, s.MLPBias, s.TiedEmbeddings = true, true, false },
		"a head per query": func(s *model.Spec) { s.KVHeads = s.Heads },
	} {
		t.Run(name, func(t *testing.T) {
			s := hybridSpec()
			spec(&s)
			config := hybridConfig(hybridFolder(t, s))
			inferencetest.TestSession(t, func() runner.Session {
				session, err := env.Open(config)
				if err != nil {
					t.Fatal(err)
				}
				return session
			})
		})
	}
}

// TestHybridEqualsFloat: generating with 8-bit keys and values comes near what float32 gives.
func TestHybridEqualsFloat(t *testing.T) {
	env := environment(t)
	spec := hybridSpec()
	config := hybridConfig(hybridFolder(t, spec))
	session, err := env.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := session.Close(); err != nil {
			t.Error(err)
		}
	}()
	text := calibrationPrompt()
	want := run(t, env, newMemory(spec, nil), Options{Quantize: FormNone}, text)[0]
	if _, err := session.Step(runner.Step{Chunks: []runner.Chunk{{Slot: 0, Tokens: text[:10]}}}); err != nil {
		t.Fatal(err)
	}
	var got []float32
	for i, token := range text[10:] {
		logits, err := session.Step(runner.Step{Decode: []runner.DecodeRow{{Token: token, Past: 10 + i}}})
		if err != nil {
			t.Fatal(err)
		}
		got = logits.Decode[0]
	}
	if worst, size := difference(t, got, want); worst > 0.1*size {
		t.Errorf("logits differ by %g of %g", worst, size)
	} else {
		t.Logf("logits differ by %.2g of %.3g", worst, size)
	}
}

// TestHybridMisuse: chunks of two prompts at once, and folders whose scales are not there, are errors and no more.
func TestHybridMisuse(t *testing.T) {
	env := environment(t)
	dir, m := hybridFolder(t, hybridSpec())
	config := hybridConfig(dir, m)
	session, err := env.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	chunk := func(slot, past int) error {
		_, err := session.Step(runner.Step{Chunks: []runner.Chunk{{Slot: slot, Tokens: []uint32{1, 2, 3}, Past: past}}})
		return err
	}
	if err := chunk(0, 0); err != nil {
		t.Fatal(err)
	}
	if err := chunk(1, 0); err != nil {
		t.Fatal(err)
	}
	if err := chunk(0, 3); err == nil || !strings.Contains(err.Error(), "slot 1") {
		t.Errorf("a chunk of a prompt that another has displaced: %v", err)
	}
	if err := session.SaveBlocks(0, 0, []int{0}); err == nil {
		t.Error("blocks of a prompt that another has displaced were saved")
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}

	config.Graph.Hybrid.ScalesOffset = 1 << 40
	if _, err := env.Open(config); err == nil || !strings.Contains(err.Error(), "scales") {
		t.Errorf("scales beyond the file: %v", err)
	}
	config.Graph.Hybrid.ScalesOffset = 0
	data := filepath.Join(dir, m.Graph.Data)
	if err := os.WriteFile(data, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Open(config); err == nil || !strings.Contains(err.Error(), "scale of channel 0") {
		t.Errorf("scales of zero: %v", err)
	}
}

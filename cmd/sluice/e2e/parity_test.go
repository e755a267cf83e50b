package e2e_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// goldens are what transformers says of the float32 weights; scripts/parity/README.md has the command.
type goldens struct {
	FixedIDs []int    `json:"fixed_ids"`
	Prompts  []golden `json:"prompts"`
}

type golden struct {
	Prompt      []uint32  `json:"prompt"`
	Tokens      []uint32  `json:"tokens"`       // greedy, not ended by the end token
	Gaps        []float64 `json:"gaps"`         // largest logit less the second, before each token
	TopIDs      []int     `json:"top_ids"`      // after the prompt
	TopLogits   []float64 `json:"top_logits"`   // of TopIDs
	FixedLogits []float64 `json:"fixed_logits"` // of FixedIDs
}

func readGoldens(t *testing.T) goldens {
	t.Helper()
	text, err := os.ReadFile("../../../inference/model/builder/testdata/greedy.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldens
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Prompts) != 20 {
		t.Fatalf("%d prompts", len(g.Prompts))
	}
	return g
}

// TestGreedyEqualsTransformers compares 20 prompts × 64 greedy tokens of the float32 conversion, through gRPC, with
// transformers' on the same weights. A position whose two largest logits are closer than 2e-3 may end a comparison:
// there the order of float32 additions decides.
func TestGreedyEqualsTransformers(t *testing.T) {
	s := serve(t, nil, "--model", "none="+folder)
	ctx := deadline(t)
	compared := 0
	for i, g := range readGoldens(t).Prompts {
		sampling := greedy(uint32(len(g.Tokens)))
		ignore := true
		sampling.IgnoreEos = &ignore
		response, err := s.Generate(ctx, &sluicev1.GenerateRequest{
			Model: "none", Input: &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: g.Prompt}},
			Sampling: sampling, Output: &sluicev1.OutputOptions{TokenIds: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		ids := response.GetOutputs()[0].GetTokenIds()
		if len(ids) != len(g.Tokens) {
			t.Fatalf("prompt %d: %d tokens", i, len(ids))
		}
		for k, id := range ids {
			if id == g.Tokens[k] {
				compared++
				continue
			}
			if g.Gaps[k] >= 2e-3 {
				t.Errorf("prompt %d, token %d: got %d, want %d; the gap is %g", i, k, id, g.Tokens[k], g.Gaps[k])
			}
			break
		}
	}
	t.Logf("%d of 1280 tokens compared equal", compared)
	if compared < 1200 {
		t.Errorf("only %d of 1280 tokens could be compared", compared)
	}
}

// TestLogitsEqualTransformers compares the logits after each prompt: the 64 largest and 200 spread over the
// vocabulary, within 1e-3.
func TestLogitsEqualTransformers(t *testing.T) {
	opened, err := model.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	environment, err := ort.OpenEnvironment(library(t))
	if err != nil {
		t.Fatal(err)
	}
	devices, err := ort.ParseDevices("cpu")
	if err != nil {
		t.Fatal(err)
	}
	session, err := environment.Open(ort.Config{
		Model: opened.ModelPath, Graph: opened.Manifest.Graph, ContextLength: opened.Manifest.ContextLength,
		Device: devices[0], Slots: 1, MaxLength: 1024, MaxChunk: 1024,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := session.Close(); err != nil {
			t.Error(err)
		}
		if err := environment.Close(); err != nil {
			t.Error(err)
		}
	}()
	all := readGoldens(t)
	worst := 0.0
	for i, g := range all.Prompts {
		logits, err := session.Step(runner.Step{Chunks: []runner.Chunk{{Tokens: g.Prompt, Logits: true}}})
		if err != nil {
			t.Fatal(err)
		}
		compare := func(ids []int, want []float64) {
			for k, id := range ids {
				difference := math.Abs(float64(logits.Chunks[0][id]) - want[k])
				worst = max(worst, difference)
				if !(difference <= 1e-3) {
					t.Errorf("prompt %d, logit %d: got %g, want %g", i, id, logits.Chunks[0][id], want[k])
				}
			}
		}
		compare(g.TopIDs, g.TopLogits)
		compare(all.FixedIDs, g.FixedLogits)
		session.ReleaseSlot(0)
	}
	t.Logf("the largest difference of %d logits is %.2g", 20*264, worst)
}

// library is the path of the ONNX Runtime library.
func library(tb testing.TB) string {
	tb.Helper()
	found, err := filepath.Glob(filepath.Join(home(), "runtime", "libonnxruntime*.*"))
	if err != nil || len(found) == 0 {
		tb.Fatalf("no ONNX Runtime in %s: run `make setup`: %v", home(), err)
	}
	return found[0]
}

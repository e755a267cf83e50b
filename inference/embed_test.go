package inference_test

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

// heap is the bytes of memory that is in use.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools keep for one round
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// TestEmbedShortened: the part of a vector that is not kept takes no memory, and is counted while it does.
func TestEmbedShortened(t *testing.T) {
	const size, inputs = 8192, 1 << 21 / 8192 // as many as a request may have
	m := newModel(t, setup{toy: inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: 4, MaxLength: context128, MaxChunk: 16, VocabSize: vocabSize, HiddenSize: size},
	}})
	run(t, m)
	request := inference.EmbedRequest{
		ID: "r", Inputs: slices.Repeat([]inference.Input{tokensOf(1)}, inputs), Dimensions: 1, Arrival: time.Now(),
	}
	before := heap()
	embeddings, _, err := m.Embed(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if kept := heap() - before; kept > size*4*inputs/4 {
		t.Errorf("%d vectors of one value keep %d bytes", inputs, kept)
	}
	for _, e := range embeddings {
		if len(e.Vector) != 1 {
			t.Fatalf("a vector of %d values", len(e.Vector))
		}
	}

	request.Inputs = append(request.Inputs, tokensOf(1))
	if _, _, err := m.Embed(t.Context(), request); violation(err).Field != "inputs" {
		t.Errorf("one input more: got %v", err)
	}
}

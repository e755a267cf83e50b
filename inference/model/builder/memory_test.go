package builder

import (
	"runtime/metrics"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
)

// TestMemoryOfBuild: converting takes memory for some rows of some weights, not for the model: 320 MB of weights take less
// than 50 MB.
func TestMemoryOfBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("converts a large model")
	}
	spec := tinySpec()
	spec.HiddenSize, spec.IntermediateSize, spec.Layers, spec.Heads, spec.KVHeads, spec.HeadSize = 1024, 4096, 5, 16, 16, 64
	src := &memory{spec: spec, tensors: map[string]model.Tensor{}}
	// All weights are the same bytes, so that the checkpoint itself takes little.
	largest := 4 * spec.HiddenSize * spec.IntermediateSize
	src.set("values", model.F32, spec.HiddenSize, spec.IntermediateSize)
	bytes := src.tensors["values"].Data
	delete(src.tensors, "values")
	var total int
	for _, w := range spec.Weights() {
		size, err := model.F32.Bytes(w.Shape)
		if err != nil {
			t.Fatal(err)
		}
		src.tensors[w.Name] = model.Tensor{Name: w.Name, Shape: w.Shape, Type: model.F32, Data: bytes[:size:largest]}
		total += size
	}
	heap := func() uint64 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64() + sample[1].Value.Uint64()
	}
	for _, opts := range []Options{
		{Quantize: FormInt4}, {Quantize: FormRow8},
	} {
		before, peak := heap(), uint64(0)
		opts.Workers = 4
		opts.Progress = func(int64, int64) { peak = max(peak, heap()) }
		if _, err := Build(t.Context(), src, t.TempDir(), opts); err != nil {
			t.Fatal(err)
		}
		grown := int64(peak) - int64(before)
		t.Logf("%s: %d MB of weights, %d MB of memory", opts.Quantize, total>>20, grown>>20)
		if grown > 50<<20 {
			t.Errorf("%s: converting %d MB takes %d MB of memory", opts.Quantize, total>>20, grown>>20)
		}
	}
	if total < 300<<20 {
		t.Errorf("the model has only %d bytes", total)
	}
}

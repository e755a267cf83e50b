//go:build cgo

package builder

import (
	"testing"

	"github.com/sluiceml/sluice/inference/model"
)

// TestForwardEqualsGraph: the logits that Go computes are those that ONNX Runtime computes from the float32 graph.
func TestForwardEqualsGraph(t *testing.T) {
	env := environment(t)
	for name, biased := range map[string]bool{"plain": false, "with biases": true} {
		t.Run(name, func(t *testing.T) {
			spec := tinySpec()
			spec.AttentionBias, spec.MLPBias = biased, biased
			src := newMemory(spec, nil)
			text := calibrationPrompt()
			want := run(t, env, src, Options{Quantize: FormNone}, text)[0]
			f, err := newForward(src, [][]uint32{{3}, text}, &Options{})
			if err != nil {
				t.Fatal(err)
			}
			logits, err := f.run(t.Context(), f.plan.names.Logits)
			if err != nil {
				t.Fatal(err)
			}
			if worst, size := difference(t, logits.Row(logits.Rows-1), want); worst > 1e-4*size {
				t.Errorf("logits differ by %g of %g", worst, size)
			}
			if len(f.values) > 2 { // those of the last node and what it read
				t.Errorf("%d values are left at the end", len(f.values))
			}
		})
	}
}

// TestSmoothingHelps: on a model with large channels, smoothed products err less than half as much.
func TestSmoothingHelps(t *testing.T) {
	env := environment(t)
	src, prompt := outliers(t), calibrationPrompt()
	want := run(t, env, src, Options{Quantize: FormNone}, prompt)[0]
	rough, size := difference(t, run(t, env, src, Options{Quantize: FormRow8}, prompt)[0], want)
	smooth, _ := difference(t, run(t, env, src, Options{Quantize: FormRow8, Calibration: [][]uint32{prompt}}, prompt)[0], want)
	t.Logf("errors %.3g and, smoothed, %.3g of %.3g", rough, smooth, size)
	if smooth > rough/2 {
		t.Errorf("smoothing leaves %g of an error of %g", smooth, rough)
	}
}

// TestRow8OfBlocks: weights that are stored as blocks are rounded from their values.
func TestRow8OfBlocks(t *testing.T) {
	env := environment(t)
	spec := tinySpec()
	spec.HiddenSize, spec.IntermediateSize, spec.HeadSize = 256, 256, 64
	for _, typ := range []model.Type{model.Q4_K, model.BF16} {
		src := newMemory(spec, func(string) model.Type { return typ })
		want := run(t, env, src, Options{Quantize: FormNone}, calibrationPrompt())[0]
		got := run(t, env, src, Options{Quantize: FormRow8}, calibrationPrompt())[0]
		if worst, size := difference(t, got, want); worst > 0.1*size {
			t.Errorf("%v: logits differ by %g of %g", typ, worst, size)
		}
	}
}

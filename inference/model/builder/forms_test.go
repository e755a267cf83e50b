//go:build cgo

package builder

import (
	"maps"
	"slices"
	"testing"
)

// TestForms runs every form on the real ONNX Runtime, on a model that has widths for all blocks: what is stored more
// finely errs less, and every form errs a little, so that it is what was asked for.
func TestForms(t *testing.T) {
	env := environment(t)
	spec := tinySpec()
	spec.HiddenSize, spec.IntermediateSize, spec.HeadSize = 128, 256, 32
	src, text := newMemory(spec, nil), calibrationPrompt()
	want := run(t, env, src, Options{Quantize: FormNone}, text)[0]
	errs := map[string]float64{}
	for name, opts := range map[string]Options{
		"fp16": {Quantize: FormFP16},
		"int8": {Quantize: FormInt8}, "int8 in 128": {Quantize: FormInt8, BlockSize: 128},
		"int4 in 16": {Quantize: FormInt4, BlockSize: 16}, "int4": {Quantize: FormInt4}, "int4 in 64": {Quantize: FormInt4, BlockSize: 64},
		"int4 in 128":    {Quantize: FormInt4, BlockSize: 128},
		"with offsets":   {Quantize: FormInt4, Asymmetric: true},
		"offsets in 128": {Quantize: FormInt4, Asymmetric: true, BlockSize: 128},
		"int4 head":      {Quantize: FormInt4, Parts: map[Part]Form{PartHead: FormInt4}},
		"fp16 but mlp":   {Quantize: FormFP16, Parts: map[Part]Form{PartMLP: FormInt8}},
		"int4 but down":  {Quantize: FormInt4, Parts: map[Part]Form{PartDown: FormNone, PartAttention: FormFP16}},
		"calibrated":     {Quantize: FormInt4, Calibration: [][]uint32{text}},
		"calibrated head": {
			Quantize: FormInt4, Calibration: [][]uint32{text}, Parts: map[Part]Form{PartHead: FormInt4},
		},
	} {
		worst, size := difference(t, run(t, env, src, opts, text)[0], want)
		errs[name] = worst / size
	}
	for _, name := range slices.Sorted(maps.Keys(errs)) {
		t.Logf("%-16s %.2g", name, errs[name])
	}
	for _, order := range [][]string{
		{"fp16", "int8", "int4 in 16", "int4 in 128"},
		{"int8", "int8 in 128", "with offsets"},
		{"int8", "offsets in 128"},
		{"fp16", "fp16 but mlp", "int4 but down", "int4"},
		{"calibrated", "int4"},
		{"calibrated head", "int4 head"},
	} {
		for i, name := range order[1:] {
			if !(errs[order[i]] < errs[name]) {
				t.Errorf("%s errs by %g and %s by %g", order[i], errs[order[i]], name, errs[name])
			}
		}
	}
	// The weights are numbers that binary16 holds.
	if errs["fp16"] > 1e-6 || errs["int4 in 128"] > 0.5 || errs["offsets in 128"] > 0.5 {
		t.Errorf("the errors are %v", errs)
	}
}

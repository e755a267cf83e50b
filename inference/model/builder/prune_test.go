package builder

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
)

// clearTensor makes the values of some columns of a tensor zero; nil: of all.
func (m *memory) clearTensor(tb testing.TB, name string, columns []int) {
	tb.Helper()
	t := m.tensors[name]
	v := values(tb, t)
	width := t.Shape[len(t.Shape)-1]
	for i := range v {
		if columns == nil || slices.Contains(columns, i%width) {
			v[i] = 0
		}
	}
	t.Type, t.Data = model.F32, make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(t.Data[4*i:], math.Float32bits(x))
	}
	m.tensors[name] = t
}

// logitsOf are those after every token of a text, as Go computes them.
func logitsOf(tb testing.TB, src model.Source, text []uint32) []float32 {
	tb.Helper()
	f, err := newForward(src, [][]uint32{text}, &Options{})
	if err != nil {
		tb.Fatal(err)
	}
	logits, err := f.run(tb.Context(), f.plan.names.Logits)
	if err != nil {
		tb.Fatal(err)
	}
	return logits.Data
}

// TestPruneLayers: layers that change nothing are found and left out, and the logits stay what they were.
func TestPruneLayers(t *testing.T) {
	t.Parallel()
	spec := tinySpec()
	spec.Layers = 5
	src := newMemory(spec, nil)
	for _, layer := range []int{1, 3} {
		for _, name := range []string{"self_attn.o_proj", "mlp.down_proj"} {
			src.clearTensor(t, fmt.Sprintf("model.layers.%d.%s.weight", layer, name), nil)
		}
	}
	text := calibrationPrompt()
	want := logitsOf(t, src, text)
	left, report, err := Prune(t.Context(), src, Pruning{Layers: 2, Calibration: [][]uint32{text}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(report.Layers, []int{1, 3}) || left.Spec().Layers != 3 {
		t.Errorf("the layers %v are left out, and %d are left; influence %v", report.Layers, left.Spec().Layers, report.Influence)
	}
	if report.Influence[1] > 1e-6 || report.Influence[0] < 1e-3 {
		t.Errorf("influence %v", report.Influence)
	}
	if got := logitsOf(t, left, text); !slices.Equal(got, want) {
		t.Error("the logits have changed")
	}
	if _, ok := left.Tensor("model.layers.3.input_layernorm.weight"); ok {
		t.Error("there is a fourth layer")
	}
	if got, want := (Options{Pruned: report}).Pruned.described()["pruned_layers"], "1,3"; got != want {
		t.Errorf("sluice.json says %q", got)
	}
}

// TestPruneFFN: channels that nothing reads are found and left out, whether weights are stored as numbers or in blocks.
func TestPruneFFN(t *testing.T) {
	t.Parallel()
	for _, typ := range []model.Type{model.F32, model.BF16, model.Q8_0} {
		t.Run(typ.String(), func(t *testing.T) {
			t.Parallel()
			spec := tinySpec()
			spec.HiddenSize, spec.MLPBias, spec.Sliding, spec.Window = 64, true, []bool{true, false}, 5
			src := newMemory(spec, func(string) model.Type { return typ })
			var idle []int // a third, not in whole blocks
			for i := range spec.IntermediateSize / 3 {
				idle = append(idle, 3*i+1)
			}
			for layer := range spec.Layers {
				src.clearTensor(t, fmt.Sprintf("model.layers.%d.mlp.down_proj.weight", layer), idle)
			}
			text, scratch := calibrationPrompt(), t.TempDir()
			want := logitsOf(t, src, text)
			left, report, err := Prune(t.Context(), src, Pruning{FFN: 0.33, Calibration: [][]uint32{text}, Scratch: scratch})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := left.Close(); err != nil {
					t.Error(err)
				}
			}()
			if got := left.Spec().IntermediateSize; got != 64 || report.Channels != 32 || report.Lost[0] != 0 {
				t.Errorf("%d channels are left; %+v", got, report)
			}
			worst, size := differ(logitsOf(t, left, text), want)
			if worst > 1e-5*size {
				t.Errorf("the logits differ by %g of %g", worst, size)
			}
			if rest, err := os.ReadDir(scratch); err != nil || len(rest) > 0 {
				t.Errorf("%v is left behind (%v)", rest, err)
			}
		})
	}
}

// differ is the largest difference and the largest magnitude.
func differ(got, want []float32) (worst, size float64) {
	for i, v := range want {
		worst, size = max(worst, math.Abs(float64(got[i]-v))), max(size, math.Abs(float64(v)))
	}
	return worst, size
}

func TestPruneRefuses(t *testing.T) {
	t.Parallel()
	src := newMemory(tinySpec(), nil)
	for want, p := range map[string]Pruning{
		"cannot be left out": {Layers: 2}, "not from 0": {FFN: 1}, "NaN": {FFN: math.NaN()}, "no calibration": {Layers: 1},
	} {
		if _, _, err := Prune(t.Context(), src, p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q in it", p, err, want)
		}
	}
}

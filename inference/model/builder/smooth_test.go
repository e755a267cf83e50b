package builder

import (
	"math"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
)

// outliers is a model of which a few channels are large in every token, as in trained ones: norms make them, and the
// products that read them have small weights there.
func outliers(tb testing.TB) *memory {
	tb.Helper()
	spec := tinySpec()
	spec.HiddenSize, spec.IntermediateSize, spec.HeadSize = 256, 256, 64
	src := newMemory(spec, nil)
	for _, w := range spec.Weights() {
		v := values(tb, src.tensors[w.Name])
		for i := range v {
			switch {
			case len(w.Shape) == 1 && i%64 == 5 && w.Name != "model.norm.weight":
				v[i] *= 60
			case len(w.Shape) == 2 && w.Shape[1] == spec.HiddenSize && i%64 == 5 && w.Name != "model.embed_tokens.weight":
				v[i] /= 60
			}
		}
		data := make([]byte, 4*len(v))
		putFloats(data, v)
		src.tensors[w.Name] = model.Tensor{Name: w.Name, Shape: w.Shape, Type: model.F32, Data: data}
	}
	return src
}

func calibrationPrompt() []uint32 {
	prompt := make([]uint32, 40)
	for i := range prompt {
		prompt[i] = uint32(11*i+i*i) % 40
	}
	return prompt
}

// TestSmoothing: what columns are multiplied by, rows are divided by.
func TestSmoothing(t *testing.T) {
	t.Parallel()
	p, err := layOut(t.Context(), outliers(t), Options{Quantize: FormRow8, Calibration: [][]uint32{calibrationPrompt()}})
	if err != nil {
		t.Fatal(err)
	}
	smooth := p.plan.smooth
	if n := len(smooth.columns); n != 3*tinySpec().Layers+1 {
		t.Errorf("%d products are smoothed", n)
	}
	for product, maker := range map[string]string{
		"model.layers.1.self_attn.qkv_proj": "model.layers.1.input_layernorm",
		"model.layers.1.mlp.gate_up_proj":   "model.layers.1.post_attention_layernorm",
		"model.layers.1.mlp.down_proj":      "model.layers.1.mlp.up_proj",
	} {
		columns, rows := smooth.columns[product], smooth.rows[maker]
		if len(columns) != 256 || len(rows) != 256 {
			t.Fatalf("%s: %d and %d factors", product, len(columns), len(rows))
		}
		for i, f := range columns {
			if quarters := 4 * math.Log2(float64(f)); math.Abs(quarters-math.Round(quarters)) > 1e-5 || f != rows[i] {
				t.Errorf("%s: factors %v and %v of channel %d", product, f, rows[i], i)
			}
		}
	}
	if f := smooth.columns["model.layers.0.self_attn.qkv_proj"]; f[5] < 16*f[6] {
		t.Errorf("a channel that is 60 times as large has the factor %v, the next %v", f[5], f[6])
	}
}

// TestCalibrationRefuses texts that are not of the model.
func TestCalibrationRefuses(t *testing.T) {
	t.Parallel()
	for name, texts := range map[string][][]uint32{"unknown": {{40}}, "empty": {{}, nil}} {
		if _, err := layOut(t.Context(), outliers(t), Options{Quantize: FormRow8, Calibration: texts}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

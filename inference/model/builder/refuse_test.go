package builder

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
)

func TestParseForm(t *testing.T) {
	for _, s := range []string{"auto", "none", "fp16", "int8", "int4", "row8"} {
		if f, err := ParseForm(s); err != nil || string(f) != s {
			t.Errorf("ParseForm(%q) = %q, %v", s, f, err)
		}
	}
	for _, s := range []string{"", "q4"} {
		_, err := ParseForm(s)
		var form *FormError
		if !errors.As(err, &form) || form.Form != s {
			t.Errorf("ParseForm(%q): error %v", s, err)
		}
	}
}

// TestPlanRefuses: descriptions that no graph can be made of, each with the field's name.
func TestPlanRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*model.Spec)
		form   Form
		want   string
	}{
		{"another architecture", func(s *model.Spec) { s.Architecture = "bert" }, FormAuto, `architecture "bert"`},
		{"no layers", func(s *model.Spec) { s.Layers = 0 }, FormAuto, "layers"},
		{"too many layers", func(s *model.Spec) { s.Layers = math.MaxInt }, FormAuto, "layers"},
		{"negative size", func(s *model.Spec) { s.HiddenSize = -64 }, FormAuto, "hidden size"},
		{"overflowing sizes", func(s *model.Spec) { s.HiddenSize, s.VocabSize = 1<<62, 1<<62 }, FormAuto, "hidden size"},
		{"heads that don't divide", func(s *model.Spec) { s.KVHeads = 3 }, FormAuto, "heads"},
		{"odd head size", func(s *model.Spec) { s.HeadSize = 12 }, FormNone, "HeadSize: 12 is not a multiple of 8"},
		{"endless context", func(s *model.Spec) { s.ContextLength = 1 << 28 }, FormAuto, "ContextLength"},
		{"hidden size of no blocks", func(s *model.Spec) { s.HiddenSize = 48 }, FormInt8, "HiddenSize: 48"},
		{"width of no blocks", func(s *model.Spec) { s.IntermediateSize = 100 }, FormAuto, "IntermediateSize: 100"},
		{"queries of no blocks", func(s *model.Spec) { s.Heads, s.KVHeads = 3, 3 }, FormAuto, "Heads: 48"},
		{"not a number", func(s *model.Spec) { s.RopeTheta = math.NaN() }, FormNone, "rope"},
		{"no epsilon", func(s *model.Spec) { s.NormEpsilon = 0 }, FormNone, "epsilon"},
		{"unknown scaling", func(s *model.Spec) { s.RopeScaling = &model.RopeScaling{Kind: "dynamic", Factor: 2} }, FormNone, "dynamic"},
		{"row8 of layers with a window", func(s *model.Spec) { s.Window = 8 }, FormRow8, "row8 does not know the layers of this llama"},
		{"row8 of another architecture", func(s *model.Spec) { s.Architecture = "qwen3" }, FormRow8, "row8 does not know the layers of this qwen3"},
		{"unknown form", func(*model.Spec) {}, "q2", "q2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := tinySpec()
			test.change(&spec)
			src := &memory{spec: spec} // refused before any tensor is asked for
			_, err := layOut(t.Context(), src, Options{Quantize: test.form})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

// TestTensorsRefused: weights that are not what the description says, each with the tensor's name.
func TestTensorsRefused(t *testing.T) {
	const name = "model.layers.1.mlp.down_proj.weight"
	for _, test := range []struct {
		name   string
		change func(*memory)
		want   string
	}{
		{"missing", func(m *memory) { delete(m.tensors, name) }, "doesn't have it"},
		{"another shape", func(m *memory) { m.set(name, model.F32, 96, 64) }, "shape [96 64]"},
		{"more dimensions", func(m *memory) { m.set(name, model.F32, 64, 96, 1) }, "shape [64 96 1]"},
		{"few bytes", func(m *memory) {
			tensor := m.tensors[name]
			tensor.Data = tensor.Data[:len(tensor.Data)-1]
			m.tensors[name] = tensor
		}, "bytes"},
		{"no type", func(m *memory) {
			tensor := m.tensors[name]
			tensor.Type = 0
			m.tensors[name] = tensor
		}, "type"},
		{"rows of no blocks", func(m *memory) {
			tensor := m.tensors[name]
			tensor.Type = model.Q4_K
			m.tensors[name] = tensor
		}, "Q4_K"},
		{"infinite value", func(m *memory) {
			binary.LittleEndian.PutUint32(m.tensors[name].Data[4*100:], math.Float32bits(float32(math.Inf(-1))))
		}, "not finite"},
		{"not a number", func(m *memory) {
			binary.LittleEndian.PutUint32(m.tensors[name].Data[4*100:], 0x7fc00000)
		}, "not finite"},
		{"infinite scale", func(m *memory) {
			m.set(name, model.Q4_1, 64, 96)
			binary.LittleEndian.PutUint16(m.tensors[name].Data[20:], 0x7c00)
		}, "not finite"},
	} {
		for _, form := range []Form{FormAuto, FormNone, FormInt8} {
			t.Run(test.name+"/"+string(form), func(t *testing.T) {
				src := newMemory(tinySpec(), nil)
				test.change(src)
				_, err := Build(t.Context(), src, t.TempDir(), Options{Quantize: form})
				var tensor *TensorError
				if !errors.As(err, &tensor) || tensor.Name != name || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want a TensorError of %s with %q in it", err, name, test.want)
				}
			})
		}
	}
}

// TestBiasRequired: a bias that the description promises is not left out.
func TestBiasRequired(t *testing.T) {
	spec := tinySpec()
	spec.AttentionBias = true
	src := newMemory(spec, nil)
	delete(src.tensors, "model.layers.0.self_attn.k_proj.bias")
	var tensor *TensorError
	if _, err := layOut(t.Context(), src, Options{}); !errors.As(err, &tensor) || tensor.Name != "model.layers.0.self_attn.k_proj.bias" {
		t.Errorf("error %v, want one of the missing bias", err)
	}
}

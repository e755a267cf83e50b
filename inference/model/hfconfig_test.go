package model_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model"
)

// openConfig opens a checkpoint whose config.json was changed.
func openConfig(t *testing.T, change func(c map[string]any)) (model.Spec, error) {
	t.Helper()
	spec := small()
	dir := writeCheckpoint(t, spec, weights(spec, model.BF16, 6))
	c := config(spec)
	change(c)
	writeConfig(t, dir, c)
	source, err := model.OpenSource(dir)
	if err != nil {
		return model.Spec{}, err
	}
	defer source.Close()
	return source.Spec(), nil
}

// TestConfigForms reads what transformers 4 and 5 write, and what older files leave out.
func TestConfigForms(t *testing.T) {
	t.Parallel()
	llama3 := &model.RopeScaling{Kind: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContextLength: 8192}
	llama3JSON := map[string]any{
		"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3",
	}
	for _, test := range []struct {
		name   string
		change func(c map[string]any)
		want   func(s *model.Spec)
	}{
		{"transformers 5", func(map[string]any) {}, func(*model.Spec) {}},
		{"transformers 4", func(c map[string]any) {
			delete(c, "rope_parameters")
			c["rope_theta"], c["rope_scaling"] = 500000.0, nil
		}, func(s *model.Spec) { s.RopeTheta = 500000 }},
		{"defaults", func(c map[string]any) {
			for _, key := range []string{"rope_parameters", "head_dim", "rms_norm_eps", "tie_word_embeddings", "hidden_act", "model_type"} {
				delete(c, key)
			}
		}, func(s *model.Spec) { s.NormEpsilon = 1e-6 }},
		{"nulls", func(c map[string]any) { c["head_dim"], c["rope_parameters"], c["quantization_config"] = nil, nil, nil }, func(*model.Spec) {}},
		{"llama 3.1 in transformers 4", func(c map[string]any) {
			delete(c, "rope_parameters")
			c["rope_theta"], c["rope_scaling"] = 500000, llama3JSON
		}, func(s *model.Spec) { s.RopeTheta, s.RopeScaling = 500000, llama3 }},
		{"llama 3.1 in transformers 5", func(c map[string]any) {
			p := map[string]any{"rope_theta": 500000}
			maps.Copy(p, llama3JSON)
			c["rope_parameters"] = p
		}, func(s *model.Spec) { s.RopeTheta, s.RopeScaling = 500000, llama3 }},
		{"linear by its old name", func(c map[string]any) {
			delete(c, "rope_parameters")
			c["rope_scaling"] = map[string]any{"type": "linear", "factor": 2.0}
		}, func(s *model.Spec) { s.RopeScaling = &model.RopeScaling{Kind: "linear", Factor: 2} }},
		{"tied with a head in the file", func(c map[string]any) { c["tie_word_embeddings"] = true }, func(s *model.Spec) { s.TiedEmbeddings = true }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := openConfig(t, test.change)
			if err != nil {
				t.Fatal(err)
			}
			want := small()
			test.want(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Spec (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCaveat says that a converted model has one of LongRoPE's two sets of angles, unless its context has no other.
func TestCaveat(t *testing.T) {
	t.Parallel()
	plain := small()
	factors := slices.Repeat([]float64{2}, plain.HeadSize/2)
	for _, test := range []struct {
		name    string
		context int
		short   []float64
		want    string // in the caveat; "": there is none
	}{
		{"a context longer than the first", plain.ContextLength, slices.Repeat([]float64{1}, len(factors)), "--context 16 "},
		{"a context no longer", 16, slices.Repeat([]float64{1}, len(factors)), ""},
		{"one set", plain.ContextLength, factors, ""},
	} {
		spec, err := openConfig(t, func(c map[string]any) {
			c["rope_parameters"] = map[string]any{
				"rope_type": "longrope", "rope_theta": 500000, "original_max_position_embeddings": 16,
				"short_factor": test.short, "long_factor": factors,
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		spec.ContextLength = test.context
		if got := spec.Caveat(); !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%s: got %q, want %q in it", test.name, got, test.want)
		}
	}
	if got := plain.Caveat(); got != "" {
		t.Errorf("plain angles: got %q", got)
	}

	dir := writeCheckpoint(t, plain, weights(plain, model.BF16, 6))
	c := config(plain)
	c["rope_parameters"] = map[string]any{
		"rope_type": "longrope", "rope_theta": 500000, "original_max_position_embeddings": 16,
		"short_factor": slices.Repeat([]float64{1}, len(factors)), "long_factor": factors,
	}
	writeConfig(t, dir, c)
	if r, err := model.Inspect(dir); err != nil || r.Use != model.Convert || !strings.Contains(r.Caveat, "LongRoPE") {
		t.Errorf("Inspect: %v, to %s, %q", err, r.Use, r.Caveat)
	}
}

func TestConfigRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		change      func(c map[string]any)
		want        string
		unsupported bool
	}{
		{"other architecture", func(c map[string]any) { c["architectures"] = []string{"MambaForCausalLM"} }, `the architecture "MambaForCausalLM" is not supported yet, only "LlamaForCausalLM", `, true},
		{"other model type", func(c map[string]any) { delete(c, "architectures"); c["model_type"] = "mamba" }, `the model type "mamba" is not supported yet`, true},
		{"no architecture", func(c map[string]any) { delete(c, "architectures"); delete(c, "model_type") }, "config.json: architectures: it is missing", false},
		{"activation", func(c map[string]any) { c["hidden_act"] = "relu" }, `the activation "relu" is not supported`, true},
		{"quantised", func(c map[string]any) { c["quantization_config"] = map[string]any{"quant_method": "gptq"} }, "weights with a quantization_config are not supported yet", true},
		{"dynamic", func(c map[string]any) { c["rope_parameters"] = map[string]any{"rope_type": "dynamic", "factor": 4} }, `the rope_parameters "dynamic" is not supported yet`, true},
		{"partial rotary", func(c map[string]any) { c["partial_rotary_factor"] = 0.5 }, "partial_rotary_factor 0.5 is not supported", true},
		{"no sizes", func(c map[string]any) { delete(c, "hidden_size") }, "config.json: hidden_size: it is missing", false},
		{"negative", func(c map[string]any) { c["num_hidden_layers"] = -3 }, "config.json: num_hidden_layers: -3 is not from 1 to", false},
		{"huge", func(c map[string]any) { c["vocab_size"] = 1 << 40 }, "config.json: vocab_size: 1099511627776 is not from 1 to", false},
		{"too many digits", func(c map[string]any) { c["vocab_size"] = 1e300 }, "config.json: vocab_size: ", false},
		{"a text", func(c map[string]any) { c["hidden_size"] = "256" }, "config.json: hidden_size: a JSON string is not what belongs there", false},
		{"no factor", func(c map[string]any) { c["rope_parameters"] = map[string]any{"rope_type": "linear"} }, "config.json: rope_parameters.factor: it is missing", false},
		{"deeper", func(c map[string]any) { c["rope_parameters"] = map[string]any{"factor": true} }, "config.json: rope_parameters.factor: a JSON ", false},
		{"heads", func(c map[string]any) { c["num_key_value_heads"] = 3 }, "4 heads do not divide among 3 key/value heads", false},
		{"zero heads", func(c map[string]any) { c["num_attention_heads"] = 0 }, "config.json: num_attention_heads: 0 is not from 1 to", false},
		{"a weight too few", func(c map[string]any) { c["num_hidden_layers"] = 3 }, `the tensor "model.layers.2.input_layernorm.weight" is missing`, false},
		{"another shape", func(c map[string]any) { c["vocab_size"] = 13 }, `the tensor "model.embed_tokens.weight" has the shape [12 256], want [13 256]`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := openConfig(t, test.change)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
			if _, ok := errors.AsType[*model.UnsupportedError](err); ok != test.unsupported {
				t.Errorf("the error is a %T", err)
			}
		})
	}
}

// TestDType refuses a weight of a type that cannot be read.
func TestDType(t *testing.T) {
	t.Parallel()
	spec := small()
	all := weights(spec, model.BF16, 7)
	dir := writeCheckpoint(t, spec, all)
	raw := readFile(t, dir, "model.safetensors")
	writeFile(t, dir, "model.safetensors", []byte(strings.Replace(raw, `"lm_head.weight":{"dtype":"BF16"`, `"lm_head.weight":{"dtype":"I16" `, 1)))
	_, err := model.OpenSource(dir)
	if err == nil || !strings.Contains(err.Error(), `the tensor "lm_head.weight" has the dtype I16`) {
		t.Errorf("got error %v", err)
	}
}

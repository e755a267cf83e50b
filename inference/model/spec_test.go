package model_test

import (
	"math"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
)

// llama3Divisors is the loop of convert_hf_to_gguf.py's LlamaModel.generate_extra_tensors.
func llama3Divisors(base float64, headSize int, factor, low, high, context float64) []float64 {
	var divisors []float64
	for i := 0; i < headSize; i += 2 {
		wavelength := 2 * math.Pi * math.Pow(base, float64(i)/float64(headSize))
		switch {
		case wavelength < context/high:
			divisors = append(divisors, 1)
		case wavelength > context/low:
			divisors = append(divisors, factor)
		default:
			smooth := (context/wavelength - low) / (high - low)
			divisors = append(divisors, 1/((1-smooth)/factor+smooth))
		}
	}
	return divisors
}

func TestInverseFrequencies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		scaling  *model.RopeScaling
		divisors []float64 // nil: all 1
	}{
		{name: "plain"},
		{
			name: "linear", scaling: &model.RopeScaling{Kind: "linear", Factor: 4},
			divisors: llama3Divisors(500000, 64, 4, 1e9, 2e9, 1),
		},
		{
			name:     "llama3",
			scaling:  &model.RopeScaling{Kind: "llama3", Factor: 32, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContextLength: 8192},
			divisors: llama3Divisors(500000, 64, 32, 1, 4, 8192),
		},
	} {
		s := small()
		s.RopeTheta, s.RopeScaling = 500000, test.scaling
		for i, got := range s.InverseFrequencies() {
			want := 1 / math.Pow(500000, float64(2*i)/64)
			if test.divisors != nil {
				want /= test.divisors[i]
			}
			if math.Abs(got-want) > 1e-12*want {
				t.Errorf("%s: frequency %d is %v, want %v", test.name, i, got, want)
			}
		}
	}
}

func TestSpecValidate(t *testing.T) {
	t.Parallel()
	if err := small().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		want   string
		change func(s *model.Spec)
	}{
		{`the architecture is "bert"`, func(s *model.Spec) { s.Architecture = "bert" }},
		{"the vocabulary size is 0", func(s *model.Spec) { s.VocabSize = 0 }},
		{"the hidden size is -1", func(s *model.Spec) { s.HiddenSize = -1 }},
		{"the head size is 63, it must be even", func(s *model.Spec) { s.HeadSize = 63 }},
		{"4 heads do not divide among 3", func(s *model.Spec) { s.KVHeads = 3 }},
		{"the rope base is +Inf", func(s *model.Spec) { s.RopeTheta = math.Inf(1) }},
		{"the norm's epsilon is NaN", func(s *model.Spec) { s.NormEpsilon = math.NaN() }},
		{`the rope scaling "dynamic" is not supported`, func(s *model.Spec) { s.RopeScaling = &model.RopeScaling{Kind: "dynamic", Factor: 2} }},
		{"the rope scaling's factor is 0", func(s *model.Spec) { s.RopeScaling = &model.RopeScaling{Kind: "linear"} }},
		{"frequency factors are 4 and 1", func(s *model.Spec) {
			s.RopeScaling = &model.RopeScaling{Kind: "llama3", Factor: 8, LowFreqFactor: 4, HighFreqFactor: 1, OriginalContextLength: 8192}
		}},
		{"original context length is 0", func(s *model.Spec) {
			s.RopeScaling = &model.RopeScaling{Kind: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4}
		}},
	} {
		s := small()
		test.change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got error %v, want %q", err, test.want)
		}
	}
}

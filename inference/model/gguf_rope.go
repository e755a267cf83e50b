package model

import (
	"fmt"
	"math"
)

// The tensors by which a GGUF tells the rope scaling of Llama 3.1 and later, and LongRoPE's.
const (
	ropeFactors  = "rope_freqs.weight"
	longFactors  = "rope_factors_long.weight"
	shortFactors = "rope_factors_short.weight"
)

// rope reads the rotary embedding.
func (m *metadata) rope(a *architecture, s *Spec) {
	s.RopeTheta = m.float(m.key("rope.freq_base"), 10000)
	if n := m.sizeOr(m.key("rope.dimension_count"), s.HeadSize); n != s.HeadSize {
		if !a.partial && m.err == nil {
			m.err = unsupported(m.path, "a rotary embedding of %d of a head's %d values is not supported", n, s.HeadSize)
		}
		s.RotaryDim = n
	}
	s.RopeScaling = m.ropeScaling(*s)
}

// ropeScaling reads how the rotary embedding is stretched; nil: it is not.
func (m *metadata) ropeScaling(s Spec) *RopeScaling {
	factor := m.float(m.key("rope.scaling.factor"), m.float(m.key("rope.scale_linear"), 0))
	kind := m.text(m.key("rope.scaling.type"), ropeLinear)
	switch {
	case m.err != nil:
		return nil
	case m.has(longFactors):
		return m.longrope(s)
	case kind == ropeYarn:
		return m.yarn(factor)
	case kind == "none" || kind == ropeLinear && (factor == 0 || factor == 1):
	case kind == ropeLinear:
		if m.has(ropeFactors) {
			m.err = unsupported(m.path, "a linear rope scaling together with the tensor %q is not supported", ropeFactors)
		}
		return &RopeScaling{Kind: ropeLinear, Factor: factor}
	default:
		m.err = unsupported(m.path, "the rope scaling %q is not supported yet", kind)
		return nil
	}
	if !m.has(ropeFactors) {
		return nil
	}
	values := m.factors(ropeFactors, s.rotaryDim()/2)
	if m.err != nil {
		return nil
	}
	scaling, err := llama3Scaling(s, values)
	if err != nil {
		m.err = &UnsupportedError{Path: m.path, Reason: fmt.Sprintf("the tensor %q: %v", ropeFactors, err)}
		return nil
	}
	return scaling
}

// factors reads a tensor of so many factors.
func (m *metadata) factors(name string, count int) []float32 {
	t, _ := m.file.Tensor(name)
	if count > maxHeadSize/2 { // which Validate will say
		count = 0
	}
	values := make([]float32, count)
	if err := Dequantize(values, t.Type, t.Data); err != nil && m.err == nil {
		m.err = fmt.Errorf("%s: the tensor %q: %w", m.path, name, err)
	}
	return values
}

// longrope reads LongRoPE's scaling.
func (m *metadata) longrope(s Spec) *RopeScaling {
	wide := func(name string) []float64 {
		values := m.factors(name, s.rotaryDim()/2)
		out := make([]float64, len(values))
		for i, v := range values {
			out[i] = float64(v)
		}
		return out
	}
	return &RopeScaling{
		Kind: ropeLongrope, LongFactors: wide(longFactors), ShortFactors: wide(shortFactors),
		OriginalContextLength: m.size(m.key("rope.scaling.original_context_length")),
		AttentionFactor:       m.float(m.key("rope.scaling.attn_factor"), 1),
	}
}

// yarn reads YaRN's scaling.
func (m *metadata) yarn(factor float64) *RopeScaling {
	for _, key := range []string{"rope.scaling.yarn_attn_factor", "rope.scaling.yarn_ext_factor", "rope.scaling.yarn_log_multiplier"} {
		if _, ok := m.file.Value(m.key(key)); ok {
			m.err = unsupported(m.path, "a yarn rope scaling with %s is not supported", m.key(key))
		}
	}
	return &RopeScaling{
		Kind: ropeYarn, Factor: factor, AttentionFactor: yarnAttentionFactor(factor, 1),
		OriginalContextLength: m.size(m.key("rope.scaling.original_context_length")),
		BetaFast:              m.float(m.key("rope.scaling.yarn_beta_fast"), 32),
		BetaSlow:              m.float(m.key("rope.scaling.yarn_beta_slow"), 1),
	}
}

// llama3Scaling finds the parameters of Llama 3.1's rope scaling behind the divisors that convert_hf_to_gguf.py made
// of them: the largest is the factor; the others have had one value each in all models so far (low 1, high 4,
// original context 8192), which is checked against every divisor. Nil: all divisors are 1.
func llama3Scaling(s Spec, divisors []float32) (*RopeScaling, error) {
	r := RopeScaling{Kind: ropeLlama3, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContextLength: 8192}
	allOne := true
	for _, d := range divisors {
		r.Factor = max(r.Factor, float64(d))
		allOne = allOne && d == 1
	}
	if allOne {
		return nil, nil //nolint:nilnil // nil is "no scaling"
	}
	s.RopeScaling = nil
	for i, f := range s.InverseFrequencies() {
		if got, want := float64(divisors[i]), r.divisor(i, f, 0); !(math.Abs(got-want) <= 1e-4*want) {
			return nil, fmt.Errorf("its factors are not Llama 3's: number %d is %v, want %v", i, got, want)
		}
	}
	return &r, nil
}

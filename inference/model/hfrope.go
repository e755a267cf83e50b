package model

import "cmp"

// hfRope is a rope_scaling or rope_parameters.
type hfRope struct {
	Type           string   `json:"type"` // before transformers 4.43
	RopeType       string   `json:"rope_type"`
	Factor         *float64 `json:"factor"`
	LowFreqFactor  *float64 `json:"low_freq_factor"`
	HighFreqFactor *float64 `json:"high_freq_factor"`
	Original       *int     `json:"original_max_position_embeddings"`
	Theta          *float64 `json:"rope_theta"`
	PartialRotary  *float64 `json:"partial_rotary_factor"`

	BetaFast     *float64 `json:"beta_fast"`
	BetaSlow     *float64 `json:"beta_slow"`
	Truncate     *bool    `json:"truncate"`
	MScale       *float64 `json:"mscale"`
	MScaleAllDim *float64 `json:"mscale_all_dim"`
	Attention    *float64 `json:"attention_factor"`

	ShortFactors []float64 `json:"short_factor"`
	LongFactors  []float64 `json:"long_factor"`

	// By the type of a layer, in transformers 5.
	Full  *hfRope `json:"full_attention"`
	Local *hfRope `json:"sliding_attention"`
}

// kind is the rope type, "default" if there is none.
func (p *hfRope) kind() string {
	switch kind := cmp.Or(p.RopeType, p.Type, "default"); kind {
	case "su":
		return ropeLongrope
	default:
		return kind
	}
}

// rope reads the rotary embedding from rope_parameters, or from rope_scaling and rope_theta.
func (c hfConfig) rope(r *fields, a *architecture, s *Spec) {
	name, p := "rope_parameters", c.RopeParameters
	if p == nil {
		name, p = "rope_scaling", c.RopeScaling
	}
	if p == nil {
		p = &hfRope{}
	}
	if p.Full != nil {
		name, p = name+".full_attention", p.Full
	}
	s.RopeTheta = or(cmp.Or(p.Theta, c.RopeTheta, c.RotaryBase), s.RopeTheta)
	partial := or(cmp.Or(p.PartialRotary, c.PartialRotary, c.RotaryPct), 1)
	if a.learned {
		return
	}
	switch {
	case partial == 1:
		s.RotaryDim = 0
	case !a.partial || !(partial > 0 && partial < 1):
		r.failure(unsupported(r.path, "partial_rotary_factor %v is not supported", partial))
	default:
		s.RotaryDim = int(float64(s.HeadSize) * partial)
	}
	s.RopeScaling = c.scaling(r, name, p)
}

// scaling reads how the rotary embedding is stretched.
func (c hfConfig) scaling(r *fields, name string, p *hfRope) *RopeScaling {
	kind := p.kind()
	if kind == "default" {
		return nil
	}
	scaling := &RopeScaling{Kind: kind}
	original := func() int {
		return r.required(name+".original_max_position_embeddings", cmp.Or(p.Original, c.OriginalLength))
	}
	switch kind {
	case ropeLinear:
		scaling.Factor = r.number(name+".factor", p.Factor)
	case ropeLlama3:
		scaling.Factor = r.number(name+".factor", p.Factor)
		scaling.LowFreqFactor = r.number(name+".low_freq_factor", p.LowFreqFactor)
		scaling.HighFreqFactor = r.number(name+".high_freq_factor", p.HighFreqFactor)
		scaling.OriginalContextLength = original()
	case ropeYarn:
		scaling.Factor = r.number(name+".factor", p.Factor)
		scaling.OriginalContextLength = original()
		scaling.BetaFast, scaling.BetaSlow = or(p.BetaFast, 32), or(p.BetaSlow, 1)
		scaling.Untruncated = !or(p.Truncate, true)
		factor := yarnAttentionFactor(scaling.Factor, 1)
		if m, all := or(p.MScale, 0), or(p.MScaleAllDim, 0); m != 0 && all != 0 {
			factor = yarnAttentionFactor(scaling.Factor, m) / yarnAttentionFactor(scaling.Factor, all)
		}
		scaling.AttentionFactor = or(p.Attention, factor)
	case ropeLongrope:
		scaling.OriginalContextLength = original()
		scaling.ShortFactors, scaling.LongFactors = p.ShortFactors, p.LongFactors
		factor := or(p.Factor, float64(or(c.ContextLength, 0))/float64(max(1, scaling.OriginalContextLength)))
		scaling.AttentionFactor = or(p.Attention, longropeAttentionFactor(factor, scaling.OriginalContextLength))
	default:
		r.failure(unsupported(r.path, "the %s %.80q is not supported yet, only %q, %q, %q and %q are", name, kind, ropeLinear,
			ropeLlama3, ropeYarn, ropeLongrope))
	}
	return scaling
}

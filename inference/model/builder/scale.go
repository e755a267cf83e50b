package builder

import (
	"math"
	"slices"
)

// searchScale finds the scale of a block of 4-bit codes, and with offsets its offset, whose squared error is least when
// each value's counts as much as its importance says. It tries codes for ranges that are narrower and wider than that of
// the values; for given codes, the best scale and offset are those of a weighted regression.
func searchScale(values, importance []float32, offsets bool) (d, o float32) {
	s := scaleSearch{values: values, importance: importance, least: math.Inf(1)}
	low, high := slices.Min(values), slices.Max(values)
	if low == high && (offsets || low == 0) {
		return 0, low // every code is zero
	}
	for shrink := float32(0.76); shrink < 1.08; shrink += 0.03 {
		if offsets {
			d := (high - low) / 15 * shrink
			s.try(d, (low+high+d)/2, true)
			continue
		}
		// The code -8 may stand for the least value or, with a negative scale, for the largest.
		s.try(low/-8*shrink, 0, false)
		s.try(high/-8*shrink, 0, false)
	}
	if s.d == 0 { // none of the values that it could be has any importance
		return (high - low) / 15, (low + high) / 2
	}
	return s.d, s.o
}

// scaleSearch is the best found so far.
type scaleSearch struct {
	values, importance []float32
	least              float64 // its error, less what all have in common
	d, o               float32
}

// try rounds with a scale and an offset, and finds the scale and offset that are the best for the codes.
func (s *scaleSearch) try(d, o float32, offsets bool) {
	// Adding it and taking it away rounds to the nearest integer, the even one of two.
	const magic = 3 << 22
	inverse := 1 / d
	if d == 0 || inverse-inverse != 0 {
		return
	}
	var h, hc, hcc, hv, hvc float32
	importance := s.importance[:len(s.values)]
	for i, v := range s.values {
		q := float32((v-o)*inverse) + magic
		c := max(-8, min(7, q-magic))
		w := importance[i]
		wc := float32(w * c)
		h += w
		hc += wc
		hcc += float32(wc * c)
		hv += float32(w * v)
		hvc += float32(wc * v)
	}
	w, c, cc, v, vc := float64(h), float64(hc), float64(hcc), float64(hv), float64(hvc)
	if !offsets {
		if least := -vc * vc / cc; cc > 0 && least < s.least {
			s.least, s.d = least, float32(vc/cc)
		}
		return
	}
	det := w*cc - c*c
	if !(det > 1e-6*w*cc) {
		return
	}
	scale := (w*vc - c*v) / det
	offset := (v - scale*c) / w
	if least := -scale*vc - offset*v; least < s.least {
		s.least, s.d, s.o = least, float32(scale), float32(offset)
	}
}

package builder

import (
	"math"
	"slices"
)

// searchScale finds the scale of a block of 4-bit codes, and with offsets its offset, whose squared error is least when
// each value's counts as much as its importance says. It starts from the range of the values and tries narrower and wider
// ones; for the codes of each, the best scale and offset are those of a weighted regression.
func searchScale(values, importance []float32, offsets bool) (d, o float32) {
	s := scaleSearch{values: values, importance: importance, offsets: offsets, codes: make([]int8, len(values)), least: math.Inf(1)}
	low, high := slices.Min(values), slices.Max(values)
	if low == high && (offsets || low == 0) {
		return 0, low // every code is zero
	}
	const tries = 12
	for i := -tries; i <= tries; i++ {
		shrink := 1 + 0.025*float32(i)
		if offsets {
			d := (high - low) / 15 * shrink
			s.try(d, (low+high)/2+d/2)
			continue
		}
		// The largest magnitude of either sign may take the code -8.
		s.try(low/-8*shrink, 0)
		s.try(high/-8*shrink, 0)
	}
	return s.d, s.o
}

type scaleSearch struct {
	values, importance []float32
	offsets            bool
	codes              []int8
	least              float64 // error of the best so far
	d, o               float32
}

// try rounds with a scale and an offset, and then betters them.
func (s *scaleSearch) try(d, o float32) {
	if d == 0 {
		return
	}
	roundBlock(s.values, s.codes, d, o, -8, 7)
	s.consider(d, o)
	var w, c, cc, v, vc float64
	for i, code := range s.codes {
		x, y, h := float64(code), float64(s.values[i]), float64(s.importance[i])
		w, c, cc, v, vc = w+h, c+h*x, cc+h*x*x, v+h*y, vc+h*x*y
	}
	if !s.offsets {
		if cc > 0 {
			s.consider(float32(vc/cc), 0)
		}
		return
	}
	if det := w*cc - c*c; det > 1e-9*w*cc {
		d := (w*vc - c*v) / det
		s.consider(float32(d), float32((v-d*c)/w))
	}
}

// consider keeps a scale and an offset if rounding to the codes that are nearest with them errs least.
func (s *scaleSearch) consider(d, o float32) {
	var sum float64
	if d == 0 {
		return
	}
	for i, v := range s.values {
		code := max(-8, min(7, math.RoundToEven(float64((v-o)/d))))
		e := float64(v) - float64(d)*code - float64(o)
		sum += float64(s.importance[i]) * e * e
	}
	if sum < s.least {
		s.least, s.d, s.o = sum, d, o
	}
}

package sampling

import "math"

// The typical filter (Meister, Pimentel, Wiher and Cotterell, "Locally Typical Sampling", 2023) keeps the tokens whose
// information -log p is nearest to its expectation, the entropy, until their probabilities sum to typical_p. With
// logits x and p = exp(x) / Z, the distance |-log p - H| is |x - m|, where m is the mean of x under p: no logarithm is
// needed. Instead of sorting by distance, the weights are summed by bins of distance; only in the bin where the sum
// crosses typical_p are the distances themselves selected from.

const (
	typicalBins = 256
	binsPerNat  = 8 // 256 bins reach to a distance of 32; the least weight has 27.7
)

// typicalScratch is the memory of the typical filter, made when a request first needs it.
type typicalScratch struct {
	logits []float32 // a copy of the row, which becomes weights
	pairs  []pair    // the candidates in the bin where the sum crosses
	bins   [typicalBins]float64
}

// pair is a candidate: its distance from the expected information, and its weight.
type pair struct{ distance, weight float32 }

// save keeps the logits of a row for keepTypical.
func (s *Scratch) save(row []float32) {
	if s.typical == nil || cap(s.typical.logits) < len(row) {
		s.typical = &typicalScratch{logits: make([]float32, 0, cap(s.ids)), pairs: make([]pair, 0, cap(s.ids))}
	}
	s.typical.logits = append(s.typical.logits[:0], row...)
}

// gatherAll collects the tokens of a row of weights that have one.
func (s *Scratch) gatherAll(row []float32) {
	for b, m := range s.maxima {
		if m == 0 {
			continue
		}
		for i, w := range block(row, b) {
			if w > 0 {
				s.ids = append(s.ids, uint32(b*blockSize+i))
				s.weights = append(s.weights, w)
			}
		}
	}
}

// keepTypical removes all candidates but the most typical ones that have the share p of all their weights. Equally
// typical ones stay or go together.
func (s *Scratch) keepTypical(best float32, p Params) {
	t := s.typical
	inverse := 1 / max(p.Temperature, 0x1p-126)
	var total, mean float64
	s.selected = s.selected[:len(s.ids)]
	for i, id := range s.ids {
		x := (t.logits[id] - best) * inverse
		s.selected[i] = x
		w := float64(s.weights[i])
		total += w
		if w > 0 { // else x may be minus infinity
			mean += float64(w * float64(x)) // rounded: not fused
		}
	}
	mean /= total // at least 1, the greatest weight

	clear(t.bins[:])
	for i, x := range s.selected {
		d := float32(math.Abs(float64(x) - mean))
		s.selected[i] = d
		t.bins[bin(d)] += float64(s.weights[i])
	}
	s.cut(t.threshold(s, float64(p.TypicalP)*total))
}

// threshold is the least distance within which the candidates weigh at least need; the greatest if none do.
func (t *typicalScratch) threshold(s *Scratch, need float64) float32 {
	at := 0
	for at < typicalBins-1 && t.bins[at] < need {
		need -= t.bins[at]
		at++
	}
	t.pairs = t.pairs[:0]
	for i, d := range s.selected {
		if bin(d) == at {
			t.pairs = append(t.pairs, pair{d, s.weights[i]})
		}
	}
	if len(t.pairs) == 0 {
		return float32(math.Inf(1)) // roundings have led beyond the last candidate
	}
	return crossing(t.pairs, need)
}

// bin is the bin of a distance.
func bin(distance float32) int { return int(min(distance*binsPerNat, typicalBins-1)) }

// cut removes the candidates that are farther than limit.
func (s *Scratch) cut(limit float32) {
	n := 0
	for i, d := range s.selected {
		if d <= limit {
			s.ids[n], s.weights[n] = s.ids[i], s.weights[i]
			n++
		}
	}
	s.ids, s.weights = s.ids[:n], s.weights[:n]
}

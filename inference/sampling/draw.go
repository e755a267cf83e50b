package sampling

import "math"

// draw chooses a token after a scan. The greatest logit is best, above minus infinity; u is in [0, 1). A token's
// weight is exp((logit - best) / temperature), so that the most likely token's is 1.
func (s *Scratch) draw(row []float32, best float32, p Params, u float64) uint32 {
	s.ids, s.weights = s.ids[:0], s.weights[:0]
	s.tracer.begin(p.Temperature)
	typical := p.typical()
	if typical {
		s.save(row)
	}
	switch {
	case p.TopK > 0 && p.TopK < len(row):
		s.gatherTopK(row, p.TopK)
		s.tracer.cut(stepTopK, s.ids)
		total := weigh(s.weights, best, p.Temperature)
		if p.TopP < 1 {
			s.cutTopP(p.TopP, total, 0)
			s.tracer.cut(stepTopP, s.ids)
		}
	case p.TopP < 1:
		total := s.weighAll(row, best, p.Temperature)
		tail := s.gatherLikely(row, (1-float64(p.TopP))*total/float64(len(row)), total)
		s.cutTopP(p.TopP, total, tail)
		s.tracer.cut(stepTopP, s.ids)
	case p.MinP > 0:
		s.gatherAtLeast(row, minLogit(best, p))
		weigh(s.weights, best, p.Temperature)
	case typical:
		s.weighAll(row, best, p.Temperature)
		s.gatherAll(row)
	default:
		total := s.weighAll(row, best, p.Temperature)
		return s.pickFromRow(row, u*total)
	}
	if p.MinP > 0 {
		s.keep(p.MinP, math.MaxInt)
		s.tracer.cut(stepMinP, s.ids)
	}
	if typical {
		s.keepTypical(best, p)
		s.tracer.cut(stepTypicalP, s.ids)
	}
	return s.pick(u)
}

// minLogit is a logit that is not above any that min_p keeps: a little is taken off for the rounding of weights.
func minLogit(best float32, p Params) float32 {
	distance := float64(p.Temperature) * math.Log(float64(p.MinP))
	bound := float64(best) + distance
	slack := 1e-5 * (math.Abs(float64(best)) + math.Abs(distance) + float64(p.Temperature))
	return float32(bound - slack)
}

// gatherAtLeast collects the tokens whose logits are not below bound, with their logits as weights. A token that is
// excluded is never collected.
func (s *Scratch) gatherAtLeast(row []float32, bound float32) {
	bound = max(bound, -math.MaxFloat32)
	for b, m := range s.maxima {
		if m < bound {
			continue
		}
		for i, x := range block(row, b) {
			if x >= bound {
				s.ids = append(s.ids, uint32(b*blockSize+i))
				s.weights = append(s.weights, x)
			}
		}
	}
}

// gatherTopK collects the tokens that are not below the k-th largest logit. At least k logits are not below the k-th
// largest maximum of a block, so only what is above that is looked at.
func (s *Scratch) gatherTopK(row []float32, k int) {
	bound := float32(math.Inf(-1))
	if k <= len(s.maxima) {
		s.selected = append(s.selected[:0], s.maxima...)
		bound = kthLargest(s.selected, k)
	}
	s.gatherAtLeast(row, bound)
	if k < len(s.ids) {
		s.selected = append(s.selected[:0], s.weights...)
		s.keep(kthLargest(s.selected, k), math.MaxInt)
	}
}

// weighAll replaces the logits of the row by weights and the maxima of its blocks by those of the weights, sets
// sums, and returns the sum of all. The weights of a block whose greatest is negligible are not written: its
// sum is 0.
func (s *Scratch) weighAll(row []float32, best, temperature float32) float64 {
	s.sums = s.sums[:len(s.maxima)]
	weigh(s.maxima, best, temperature)
	var total float64
	for b, m := range s.maxima {
		s.sums[b] = 0
		if m > 0 {
			s.sums[b] = weigh(block(row, b), best, temperature)
			total += s.sums[b]
		}
	}
	return total
}

// gatherLikely collects the tokens of a row of weights that are not below bound, and returns the sum of the others.
func (s *Scratch) gatherLikely(row []float32, bound, total float64) (rest float64) {
	const slack = 1 + 1e-5 // a block's greatest weight may differ from exp of its greatest logit by a rounding
	threshold := max(float32(bound), math.SmallestNonzeroFloat32)
	for b, m := range s.maxima {
		if m*slack < threshold {
			continue
		}
		for i, w := range block(row, b) {
			if w >= threshold {
				s.ids = append(s.ids, uint32(b*blockSize+i))
				s.weights = append(s.weights, w)
				total -= float64(w)
			}
		}
	}
	return max(total, 0)
}

// cutTopP removes the least likely candidates as long as their weights and rest, the weight of what has been removed
// before, sum up to at most 1 - p of total. At least one candidate stays.
func (s *Scratch) cutTopP(p float32, total, rest float64) {
	s.selected = append(s.selected[:0], s.weights...)
	cut, equal := lightest(s.selected, max(0, (1-float64(p))*total-rest))
	s.keep(cut, equal)
}

// keep removes the candidates whose weight is below cut, and of those equal to it all but the first few.
func (s *Scratch) keep(cut float32, equal int) {
	n := 0
	for i, w := range s.weights {
		if w < cut {
			continue
		}
		if w == cut {
			if equal == 0 {
				continue
			}
			equal--
		}
		s.ids[n], s.weights[n] = s.ids[i], w
		n++
	}
	s.ids, s.weights = s.ids[:n], s.weights[:n]
}

// pick is the candidate at the share u of the sum of all weights, in ascending order of ids.
func (s *Scratch) pick(u float64) uint32 {
	var total float64
	for _, w := range s.weights {
		total += float64(w)
	}
	target := u * total
	last := s.ids[0]
	for i, w := range s.weights {
		if w == 0 {
			continue
		}
		last = s.ids[i]
		target -= float64(w)
		if target < 0 {
			break
		}
	}
	return last
}

// pickFromRow is the token at target on the way through all weights, in ascending order of ids. If roundings lead
// beyond the end, it is the last one that has a weight.
func (s *Scratch) pickFromRow(row []float32, target float64) uint32 {
	at := 0
	for b, sum := range s.sums {
		if sum == 0 {
			continue
		}
		at = b
		if target < sum {
			break
		}
		target -= sum
	}
	last := 0
	for i, w := range block(row, at) {
		if w == 0 {
			continue
		}
		last = at*blockSize + i
		target -= float64(w)
		if target < 0 {
			break
		}
	}
	return uint32(last)
}

// block is the b-th block of a row.
func block(row []float32, b int) []float32 {
	return row[b*blockSize : min((b+1)*blockSize, len(row))]
}

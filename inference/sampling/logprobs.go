package sampling

import "math"

// Logprob is the log-probability of a token at a position: the logarithm of the softmax of the model's own logits,
// before temperature, penalties and exclusions.
type Logprob struct {
	ID    uint32
	Value float32
	Rank  int32 // 1 and how many tokens are more likely; 0 in an entry that stands for nothing

	Entropy float32 // of the position, for whoever asks Scratch.Entropy and keeps it here
}

// Keep copies a row of logits before Sample changes it, for Logprobs.
func (s *Scratch) Keep(row []float32) { s.kept = append(s.kept[:0], row...) }

// Kept is the row that was kept last.
func (s *Scratch) Kept() []float32 { return s.kept }

// Logprobs appends to dst the entry of a token and those of the n most likely tokens, the most likely first and the
// lower id first among equals: always 1 + n entries, of which the last ones stand for nothing if the row has fewer
// tokens. It doesn't change the row. The error is a *LogitError, as Sample's.
//
// The sum under the logarithm is made of float32 exponentials that are accurate to 2e-7, so that a value differs from
// the exact one by less than the spacing of float32 numbers above 4.
func (s *Scratch) Logprobs(dst []Logprob, row []float32, id uint32, n int) ([]Logprob, error) {
	best, err := s.scan(row)
	if err != nil {
		return dst, err
	}
	s.selected = append(s.selected[:0], row...)
	log := float64(row[best]) + math.Log(weigh(s.selected, row[best], 1))
	value := func(logit float32) float32 { return float32(float64(logit) - log) }

	x := float32(math.Inf(-1))
	if int64(id) < int64(len(row)) { // else the model can read the token but not write it
		x = row[id]
	}
	dst = append(dst, Logprob{ID: id, Value: value(x), Rank: 1 + s.countAbove(row, x)})
	if n == 0 {
		return dst, nil
	}

	bound := float32(math.Inf(-1))
	if n <= len(s.maxima) {
		s.selected = append(s.selected[:0], s.maxima...)
		bound = kthLargest(s.selected, n)
	}
	s.ids, s.weights = s.ids[:0], s.weights[:0]
	s.gatherAtLeast(row, bound)
	first := len(dst)
	for range n {
		dst = append(dst, Logprob{})
	}
	top := dst[first:]
	for i, id := range s.ids {
		insert(top, id, s.weights[i])
	}
	rank, last := int32(0), float32(math.Inf(1))
	for i := range top {
		e := &top[i]
		if e.Rank == 0 {
			break
		}
		if e.Value < last {
			rank, last = int32(i+1), e.Value
		}
		e.Rank, e.Value = rank, value(e.Value)
	}
	return dst, nil
}

// Entropy is the entropy of the softmax of a row of logits in nats, accurate to 1e-6 of the logits' span. It doesn't change
// the row, in which not all tokens are excluded.
func (s *Scratch) Entropy(row []float32) (float32, error) {
	best, err := s.scan(row)
	if err != nil {
		return 0, err
	}
	s.selected = append(s.selected[:0], row...)
	total := weigh(s.selected, row[best], 1)
	var sum float64 // of weight times logit
	for i, w := range s.selected {
		if w > 0 { // else the logit may be minus infinity
			sum += float64(w) * float64(row[i]-row[best])
		}
	}
	return float32(max(0, math.Log(total)-sum/total)), nil
}

// countAbove counts the logits above x.
func (s *Scratch) countAbove(row []float32, x float32) int32 {
	var n int32
	for b, m := range s.maxima {
		if m <= x {
			continue
		}
		for _, y := range block(row, b) {
			if y > x {
				n++
			}
		}
	}
	return n
}

// insert puts a token with its logit into its place among the best so far, of which those with a rank are set; the last
// one falls out. Tokens come in ascending order.
func insert(top []Logprob, id uint32, logit float32) {
	at := len(top)
	for at > 0 && (top[at-1].Rank == 0 || top[at-1].Value < logit) {
		at--
	}
	if at < len(top) {
		copy(top[at+1:], top[at:])
		top[at] = Logprob{ID: id, Value: logit, Rank: 1}
	}
}

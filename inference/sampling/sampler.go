package sampling

import "math"

// Sampler draws the tokens of one sequence. It is not safe for concurrent use.
type Sampler struct {
	params  Params
	output  int
	history *history // nil if no penalty is set
	mask    *mask    // nil if no token is ever excluded
}

// New makes the sampler of an output, given by its index among the outputs of its request, that continues prompt by
// at most maxTokens tokens. The parameters must be valid. The prompt is not kept.
func New(p Params, output int, prompt []uint32, maxTokens int) *Sampler {
	s := &Sampler{params: p, output: output}
	if p.penalises() {
		s.history = newHistory(prompt, maxTokens)
	}
	if p.masks() {
		s.mask = newMask(p, prompt, maxTokens)
	}
	return s
}

// Sample draws the token at a position of the output, counted from 0, from a row of logits, which it changes. A
// logit of minus infinity excludes its token. The error is ErrExcluded if the parameters exclude all tokens that the
// row doesn't, and a *LogitError if a logit is NaN or plus infinity, or if the row excludes all.
func (s *Sampler) Sample(row []float32, scratch *Scratch, position int) (uint32, error) {
	scratch.tracer.start(row)
	s.process(row, position, scratch.tracer)
	best, err := scratch.scan(row)
	if err != nil {
		return 0, s.explain(err)
	}
	if s.params.Temperature == 0 {
		scratch.tracer.decide()
		return best, nil
	}
	u := uniform(s.params.Seed, s.output, position)
	return scratch.draw(row, row[best], s.params, u), nil
}

// process changes the logits of a row for a position of the output.
func (s *Sampler) process(row []float32, position int, t *tracer) {
	for _, b := range s.params.Bias {
		if int64(b.ID) < int64(len(row)) {
			row[b.ID] += b.Value
		}
	}
	if len(s.params.Bias) > 0 {
		t.logits(stepBias, row)
	}
	if s.history != nil {
		s.history.apply(row, s.params)
		t.logits(stepPenalties, row)
	}
	if s.mask != nil {
		s.mask.apply(row, position, t)
	}
}

// Accept adds a token to the history on which penalties and exclusions depend. Every token of the output is accepted,
// in order.
func (s *Sampler) Accept(id uint32) {
	if s.history != nil {
		s.history.add(id)
	}
	if s.mask != nil {
		s.mask.add(id)
	}
}

// explain tells a request that forbids all tokens from a model that does.
func (s *Sampler) explain(err error) error {
	if e, ok := err.(*LogitError); ok && e.Index < 0 && s.mask != nil { //nolint:errorlint // scan's own, not wrapped
		return ErrExcluded
	}
	return err
}

// exclude keeps the token id from being drawn. Ids beyond the row are ignored: a prompt may hold tokens that the model
// can read but not write.
func exclude(row []float32, id uint32) {
	if int64(id) < int64(len(row)) {
		row[id] = float32(math.Inf(-1))
	}
}

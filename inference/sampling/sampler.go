package sampling

// Sampler draws the tokens of one sequence. It is not safe for concurrent use.
type Sampler struct {
	params  Params
	output  int
	history *history // nil if no penalty is set
}

// New makes the sampler of an output, given by its index among the outputs of its request, that continues prompt by
// at most maxTokens tokens. The parameters must be valid. The prompt is not kept.
func New(p Params, output int, prompt []uint32, maxTokens int) *Sampler {
	s := &Sampler{params: p, output: output}
	if p.penalises() {
		s.history = newHistory(prompt, maxTokens)
	}
	return s
}

// Sample draws the token at a position of the output, counted from 0, from a row of logits, which it changes. A
// logit of minus infinity excludes its token. The error is a *LogitError if a logit is NaN or plus infinity, or if
// all tokens are excluded.
func (s *Sampler) Sample(row []float32, scratch *Scratch, position int) (uint32, error) {
	if s.history != nil {
		s.history.apply(row, s.params)
	}
	best, err := scratch.scan(row)
	if err != nil || s.params.Temperature == 0 {
		return best, err
	}
	u := Uniform(s.params.Seed, s.output, position)
	return scratch.draw(row, row[best], s.params, u), nil
}

// Accept adds a token to the history on which penalties depend. Every token of the output is accepted, in order.
func (s *Sampler) Accept(id uint32) {
	if s.history != nil {
		s.history.add(id)
	}
}

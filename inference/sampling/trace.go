package sampling

import (
	"math"
	"slices"
)

// Trace is how one token was drawn: what each step that was on has removed.
type Trace struct {
	Steps      []TraceStep
	Candidates int     // tokens that were left to draw from
	Chance     float32 // of the drawn one among them; 1 at a temperature of 0
}

// TraceStep is what one step did.
type TraceStep struct {
	Name    string // as the API calls it
	Removed int    // tokens
	Mass    float32
	// Top are the most likely removed tokens, best first, at most traceTop; the values are the logarithms of their
	// probabilities before the step, and there are no ranks.
	Top []Logprob
}

// traceTop is how many removed tokens of a step are named.
const traceTop = 5

// The names of the steps: those of the API's fields.
const (
	stepConstraint  = "constraint"
	stepBias        = "logit_bias"
	stepPenalties   = "penalties"
	stepNoRepeat    = "no_repeat_ngram_size"
	stepBadWords    = "bad_words"
	stepMinTokens   = "min_tokens"
	stepAllowed     = "allowed_token_ids"
	stepTemperature = "temperature"
	stepTopK        = "top_k"
	stepTopP        = "top_p"
	stepMinP        = "min_p"
	stepTypicalP    = "typical_p"
)

// tracer watches one draw. A nil one watches nothing, at no cost worth mentioning.
type tracer struct {
	trace Trace
	// weights are those of the tokens as the next step finds them: 0 of one that was removed.
	weights []float64
	row     []float32 // the logits as the next step finds them
	greedy  bool
}

// BeginTrace makes the next draw, of whatever may become of a row, a traced one. EndTrace or DropTrace must follow it.
func (s *Scratch) BeginTrace(row []float32) { s.tracer = &tracer{row: slices.Clone(row)} }

// DropTrace ends a trace that EndTrace has not ended.
func (s *Scratch) DropTrace() { s.tracer = nil }

// EndTrace is how the token was drawn. One that was not drawn at all but forced had no choice.
func (s *Scratch) EndTrace(id uint32) Trace {
	t := s.tracer
	s.tracer = nil
	return t.end(id)
}

// start notes what was taken from the row since BeginTrace.
func (t *tracer) start(row []float32) {
	if t != nil && !slices.Equal(t.row, row) {
		t.logits(stepConstraint, row)
	}
}

// logits notes a step that has changed logits.
func (t *tracer) logits(name string, row []float32) {
	if t == nil {
		return
	}
	none := float32(math.Inf(-1))
	t.weigh(1)
	t.step(name, func(id int) bool { return t.row[id] != none && row[id] == none })
	t.row = append(t.row[:0], row...)
}

// begin notes the temperature, behind which the steps cut probabilities.
func (t *tracer) begin(temperature float32) {
	if t == nil {
		return
	}
	t.weigh(temperature)
	if temperature != 1 {
		t.step(stepTemperature, func(int) bool { return false })
	}
}

// cut notes a step that has left the tokens of ids, which ascend.
func (t *tracer) cut(name string, ids []uint32) {
	if t == nil {
		return
	}
	next := 0
	t.step(name, func(id int) bool {
		for next < len(ids) && int(ids[next]) < id {
			next++
		}
		return t.weights[id] > 0 && (next == len(ids) || int(ids[next]) != id)
	})
}

// weigh sets the weights of the row: the greatest logit's is 1.
func (t *tracer) weigh(temperature float32) {
	best := slices.Max(t.row)
	t.weights = t.weights[:0]
	for _, x := range t.row {
		t.weights = append(t.weights, math.Exp(float64(x-best)/max(float64(temperature), 0x1p-126)))
	}
}

// step notes a step by the tokens that it removed, which it asks for in ascending order.
func (t *tracer) step(name string, removed func(id int) bool) {
	step := TraceStep{Name: name}
	var total, mass float64
	for _, w := range t.weights {
		total += w
	}
	var top [traceTop]Logprob
	for id := range t.weights {
		if !removed(id) {
			continue
		}
		step.Removed++
		mass += t.weights[id]
		insert(top[:], uint32(id), float32(math.Log(t.weights[id]/total)))
		t.weights[id] = 0
	}
	step.Mass = float32(mass / total)
	for _, e := range top {
		if e.Rank > 0 {
			e.Rank = 0
			step.Top = append(step.Top, e)
		}
	}
	t.trace.Steps = append(t.trace.Steps, step)
}

// leastWeight is exp(negligible): a token of less is not drawn.
const leastWeight = 0x1p-40

// end is the trace of the token that was drawn.
func (t *tracer) end(id uint32) Trace {
	if t.weights == nil {
		return Trace{Candidates: 1, Chance: 1}
	}
	var total float64
	for _, w := range t.weights {
		if w >= leastWeight {
			t.trace.Candidates++
			total += w
		}
	}
	t.trace.Chance = 1
	if !t.greedy {
		t.trace.Chance = float32(t.weights[id] / total)
	}
	return t.trace
}

// decide notes that the most likely token is taken.
func (t *tracer) decide() {
	if t != nil {
		t.weigh(1)
		t.greedy = true
	}
}

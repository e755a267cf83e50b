package sampling

import "math"

// history counts the tokens of one sequence for the penalties. The order of ids is that of first occurrence, so that
// applying it is deterministic; the index is never iterated.
type history struct {
	index  map[uint32]int32 // id → place in ids
	ids    []uint32         // the different tokens of prompt and output
	output []int32          // how often each occurs in the output
}

// newHistory makes a history of the prompt with room for n more different tokens.
func newHistory(prompt []uint32, n int) *history {
	size := len(prompt) + n
	h := &history{
		index:  make(map[uint32]int32, size),
		ids:    make([]uint32, 0, size),
		output: make([]int32, 0, size),
	}
	for _, id := range prompt {
		h.place(id)
	}
	return h
}

// place is where id is in ids; it is appended if it is new.
func (h *history) place(id uint32) int32 {
	i, ok := h.index[id]
	if !ok {
		i = int32(len(h.ids))
		h.index[id] = i
		h.ids = append(h.ids, id)
		h.output = append(h.output, 0)
	}
	return i
}

// add counts a token of the output.
func (h *history) add(id uint32) { h.output[h.place(id)]++ }

// apply changes the logits of the tokens in the history: the repetition penalty divides a positive logit and
// multiplies a negative one (transformers' RepetitionPenaltyLogitsProcessor); then the frequency and the presence
// penalty are subtracted for tokens of the output. Ids beyond the row are ignored: a prompt may hold tokens that
// the model can read but not write.
func (h *history) apply(row []float32, p Params) {
	for i, id := range h.ids {
		if int(id) >= len(row) {
			continue
		}
		x := row[id]
		if p.RepetitionPenalty != 1 {
			x = repeated(x, p.RepetitionPenalty)
		}
		if n := h.output[i]; n > 0 {
			x -= float32(p.FrequencyPenalty * float32(n))
			x -= p.PresencePenalty
		}
		row[id] = x
	}
}

// repeated is the logit x of a token that has occurred. A finite one stays finite, however extreme the penalty: an
// overflow would read as a broken model.
func repeated(x, penalty float32) float32 {
	y := x / penalty
	if x < 0 {
		y = x * penalty
	}
	if y-y != 0 && x-x == 0 {
		y = float32(math.Copysign(math.MaxFloat32, float64(x)))
	}
	return y
}

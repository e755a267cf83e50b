package engine

import (
	"fmt"

	"github.com/sluiceml/sluice/inference/sampling"
	"github.com/sluiceml/sluice/inference/sched"
)

// Log-probabilities travel as flat lists of entries, so that a token costs no allocation: for each token its own entry
// and those of the most likely ones, always as many as the request asked for. The reader's side makes structures of
// them.

// scorePrompt appends to dst the entries of the prompt's tokens that a chunk's rows of logits tell about: the row after
// a token tells about the next one. What was told before the job lost its slot is not told again.
func (j *job) scorePrompt(dst []sampling.Logprob, c sched.Chunk, rows [][]float32, s *sampling.Scratch) (_ []sampling.Logprob, err error) {
	prompt, top := j.req.Prompt, j.req.PromptLogprobs.Top
	if j.scored == 0 {
		j.scored = 1
		dst = append(dst, sampling.Logprob{ID: prompt[0]})
		for range top {
			dst = append(dst, sampling.Logprob{})
		}
	}
	for i, row := range rows {
		at := c.Past + i + 1
		if at == len(prompt) {
			break
		}
		if at < j.scored {
			continue
		}
		if dst, err = j.req.PromptLogprobs.append(dst, s, row, prompt[at]); err != nil {
			return dst, fmt.Errorf("token %d of the prompt: %w", at, err)
		}
		j.scored = at + 1
	}
	return dst, nil
}

// scores says whether a chunk's rows of logits tell what the reader wants to know.
func (j *job) scores(c sched.Chunk) bool {
	return j.req.PromptLogprobs.Wanted && j.scored <= min(c.Past+len(c.Tokens), len(j.req.Prompt)-1)
}

// append appends the entries of a token.
func (l Logprobs) append(dst []sampling.Logprob, s *sampling.Scratch, row []float32, id uint32) ([]sampling.Logprob, error) {
	first := len(dst)
	dst, err := s.Logprobs(dst, row, id, l.Top)
	if err != nil || !l.Entropy {
		return dst, err
	}
	dst[first].Entropy, err = s.Entropy(row)
	return dst, err
}

// structured makes structures of a flat list, in memory of their own.
func (l Logprobs) structured(flat []sampling.Logprob) []TokenLogprobs {
	if len(flat) == 0 {
		return nil
	}
	flat = append([]sampling.Logprob(nil), flat...)
	out := make([]TokenLogprobs, len(flat)/l.stride())
	for i := range out {
		entries := flat[i*l.stride() : (i+1)*l.stride() : (i+1)*l.stride()]
		n := len(entries)
		for n > 1 && entries[n-1].Rank == 0 {
			n--
		}
		out[i] = TokenLogprobs{Token: entries[0], Top: entries[1:n:n], Entropy: entries[0].Entropy}
	}
	return out
}

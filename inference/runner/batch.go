package runner

import (
	"errors"
	"fmt"

	"github.com/sluiceml/sluice/inference/sched"
)

// Batch turns plans of the scheduler into steps, in memory that it keeps. It is not safe for concurrent use.
type Batch struct {
	step  Step
	chunk Chunk
}

// Build is the step of a plan. It holds until the next Build.
func (b *Batch) Build(plan *sched.Plan) Step {
	b.step.Decode = b.step.Decode[:0]
	for _, q := range plan.Decode {
		b.step.Decode = append(b.step.Decode, DecodeRow{Token: q.Next(), Past: q.Past(), Draft: q.Draft})
	}
	b.step.Chunk = nil
	if c := plan.Chunk; c.Sequence != nil {
		b.chunk = Chunk{Slot: c.Sequence.Slot(), Tokens: c.Tokens, Past: c.Past, Logits: c.Last}
		b.step.Chunk = &b.chunk
	}
	return b.step
}

// Tokens is the number of tokens that the step feeds.
func (s Step) Tokens() int {
	n := len(s.Decode)
	for _, r := range s.Decode {
		n += len(r.Draft)
	}
	if s.Chunk != nil {
		n += len(s.Chunk.Tokens)
	}
	return n
}

// Sequences is the number of sequences in the step.
func (s Step) Sequences() int {
	n := len(s.Decode)
	if s.Chunk != nil {
		n++
	}
	return n
}

// Validate checks what a step promises against the limits of a session: everything but what its slots hold. A
// Session may call it before it hands sizes and offsets to native code.
func (s Step) Validate(l Limits) error {
	if len(s.Decode) == 0 && s.Chunk == nil {
		return errors.New("runner: empty step")
	}
	if len(s.Decode) > l.Slots {
		return fmt.Errorf("runner: %d decode rows for %d slots", len(s.Decode), l.Slots)
	}
	for i, r := range s.Decode {
		if int(r.Token) >= l.VocabSize {
			return fmt.Errorf("runner: decode row %d: token %d, vocabulary of %d", i, r.Token, l.VocabSize)
		}
		if r.Past < 1 || r.Past >= l.MaxLength {
			return fmt.Errorf("runner: decode row %d: past %d, slots of %d", i, r.Past, l.MaxLength)
		}
		if err := r.validateDraft(len(s.Decode), l); err != nil {
			return fmt.Errorf("runner: decode row %d: %w", i, err)
		}
	}
	if s.Chunk == nil {
		return nil
	}
	return s.Chunk.validate(len(s.Decode), l)
}

func (r *DecodeRow) validateDraft(rows int, l Limits) error {
	n := len(r.Draft)
	switch {
	case n == 0:
		return nil
	case rows > 1:
		return fmt.Errorf("it has a draft beside %d other rows", rows-1)
	case n > l.MaxDraft || r.Past+1+n > l.MaxLength:
		return fmt.Errorf("a draft of %d tokens after %d, at most %d in slots of %d", n, r.Past+1, l.MaxDraft, l.MaxLength)
	}
	for i, id := range r.Draft {
		if int(id) >= l.VocabSize {
			return fmt.Errorf("token %d of its draft is %d, vocabulary of %d", i, id, l.VocabSize)
		}
	}
	return nil
}

func (c *Chunk) validate(rows int, l Limits) error {
	if c.Slot < rows || c.Slot >= l.Slots {
		return fmt.Errorf("runner: chunk in slot %d, with %d decode rows and %d slots", c.Slot, rows, l.Slots)
	}
	if len(c.Tokens) < 1 || len(c.Tokens) > l.MaxChunk {
		return fmt.Errorf("runner: chunk of %d tokens, at most %d", len(c.Tokens), l.MaxChunk)
	}
	if c.Rows && len(c.Tokens) > MaxRows {
		return fmt.Errorf("runner: chunk of %d tokens with the logits of each, at most %d", len(c.Tokens), MaxRows)
	}
	if c.Past < 0 || c.Past > l.MaxLength-len(c.Tokens) {
		return fmt.Errorf("runner: chunk of %d tokens after %d, slots of %d", len(c.Tokens), c.Past, l.MaxLength)
	}
	for i, id := range c.Tokens {
		if int(id) >= l.VocabSize {
			return fmt.Errorf("runner: chunk token %d is %d, vocabulary of %d", i, id, l.VocabSize)
		}
	}
	return nil
}

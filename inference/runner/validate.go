package runner

import (
	"errors"
	"fmt"
)

// Validate checks what a step promises against the limits of a session: everything but what its slots hold. A
// Session calls it before it hands sizes and offsets to native code.
func (s Step) Validate(l Limits) error {
	if len(s.Decode) == 0 && len(s.Chunks) == 0 {
		return errors.New("runner: empty step")
	}
	if len(s.Decode) > l.Slots {
		return fmt.Errorf("runner: %d decode rows for %d slots", len(s.Decode), l.Slots)
	}
	if n := s.Drafted(); n > MaxDrafts {
		return fmt.Errorf("runner: drafts of %d tokens together, at most %d", n, MaxDrafts)
	}
	if n := s.Prompted(); n > l.MaxChunk {
		return fmt.Errorf("runner: chunks of %d tokens together, at most %d", n, l.MaxChunk)
	}
	for i := range s.Decode {
		if err := s.validateRow(i, l); err != nil {
			return fmt.Errorf("runner: decode row %d: %w", i, err)
		}
	}
	if len(s.Chunks) > 1 && !l.Uniform {
		return fmt.Errorf("runner: %d chunks for a session that takes one", len(s.Chunks))
	}
	rows := 0
	for i := range s.Chunks {
		if err := s.validateChunk(i, l); err != nil {
			return fmt.Errorf("runner: chunk %d: %w", i, err)
		}
		if s.Chunks[i].Rows {
			rows++
		}
	}
	if rows > 1 {
		return fmt.Errorf("runner: %d chunks with the logits of each token, at most one", rows)
	}
	return nil
}

// validateRow checks a decode row.
func (s Step) validateRow(i int, l Limits) error {
	r := &s.Decode[i]
	switch {
	case r.Slot < 0 || r.Slot >= l.Slots || !l.Uniform && r.Slot != i:
		return fmt.Errorf("slot %d of %d", r.Slot, l.Slots)
	case s.taken(r.Slot, i, 0):
		return fmt.Errorf("slot %d is another row's", r.Slot)
	case int64(r.Token) >= int64(l.VocabSize):
		return fmt.Errorf("token %d, vocabulary of %d", r.Token, l.VocabSize)
	case r.Past < 0 || r.Past >= l.MaxLength:
		return fmt.Errorf("past %d, slots of %d", r.Past, l.MaxLength)
	}
	n := len(r.Draft)
	switch {
	case n == 0:
		return nil
	case len(s.Decode) > 1 && !l.Uniform:
		return fmt.Errorf("it has a draft beside %d other rows", len(s.Decode)-1)
	case n > l.MaxDraft || n >= l.MaxLength-r.Past:
		return fmt.Errorf("a draft of %d tokens after %d, at most %d in slots of %d", n, r.Past+1, l.MaxDraft, l.MaxLength)
	}
	return validateTokens("its draft", r.Draft, l)
}

// validateChunk checks a chunk.
func (s Step) validateChunk(i int, l Limits) error {
	c := &s.Chunks[i]
	switch {
	case c.Slot < 0 || c.Slot >= l.Slots || !l.Uniform && c.Slot < len(s.Decode):
		return fmt.Errorf("slot %d, with %d decode rows and %d slots", c.Slot, len(s.Decode), l.Slots)
	case s.taken(c.Slot, len(s.Decode), i):
		return fmt.Errorf("slot %d is another part's", c.Slot)
	case len(c.Tokens) == 0:
		return errors.New("no tokens")
	case c.Rows && len(c.Tokens) > MaxRows:
		return fmt.Errorf("%d tokens with the logits of each, at most %d", len(c.Tokens), MaxRows)
	case c.Hidden && l.HiddenSize == 0:
		return errors.New("hidden states of a session that gives none")
	case c.Hidden && (c.Rows || c.Logits):
		return errors.New("hidden states and logits of one chunk")
	case c.Past < 0 || c.Past > l.MaxLength-len(c.Tokens):
		return fmt.Errorf("%d tokens after %d, slots of %d", len(c.Tokens), c.Past, l.MaxLength)
	}
	return validateTokens("the chunk", c.Tokens, l)
}

// taken says whether a slot is that of one of the first rows or chunks.
func (s Step) taken(slot, rows, chunks int) bool {
	for i := range rows {
		if s.Decode[i].Slot == slot {
			return true
		}
	}
	for i := range chunks {
		if s.Chunks[i].Slot == slot {
			return true
		}
	}
	return false
}

func validateTokens(of string, tokens []uint32, l Limits) error {
	for i, id := range tokens {
		if int64(id) >= int64(l.VocabSize) {
			return fmt.Errorf("token %d of %s is %d, vocabulary of %d", i, of, id, l.VocabSize)
		}
	}
	return nil
}

package runner

import "github.com/sluiceml/sluice/inference/sched"

// Batch turns plans of the scheduler into steps, in memory that it keeps. It is not safe for concurrent use.
type Batch struct{ step Step }

// Build is the step of a plan. It holds until the next Build.
func (b *Batch) Build(plan *sched.Plan) Step {
	b.step.Decode = b.step.Decode[:0]
	for _, q := range plan.Decode {
		b.step.Decode = append(b.step.Decode, DecodeRow{Slot: q.Slot(), Token: q.Next(), Past: q.Past(), Draft: q.Draft})
	}
	b.step.Chunks = b.step.Chunks[:0]
	for _, c := range plan.Chunks {
		b.step.Chunks = append(b.step.Chunks, Chunk{Slot: c.Sequence.Slot(), Tokens: c.Tokens, Past: c.Past, Logits: c.Last})
	}
	return b.step
}

// Tokens is the number of tokens that the step feeds.
func (s Step) Tokens() int { return len(s.Decode) + s.Drafted() + s.Prompted() }

// Drafted is the number of tokens of the step's drafts.
func (s Step) Drafted() int {
	n := 0
	for i := range s.Decode {
		n += len(s.Decode[i].Draft)
	}
	return n
}

// Prompted is the number of tokens of the step's chunks.
func (s Step) Prompted() int {
	n := 0
	for i := range s.Chunks {
		n += len(s.Chunks[i].Tokens)
	}
	return n
}

// Sequences is the number of sequences in the step.
func (s Step) Sequences() int { return len(s.Decode) + len(s.Chunks) }

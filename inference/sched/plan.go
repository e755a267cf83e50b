package sched

// Plan is what the next step does. It belongs to the scheduler and holds until the next Schedule.
type Plan struct {
	// Save are the positions of slots to keep in the prefix store, before anything else happens to the slots or the store:
	// what the step before has completed.
	Save []Save
	// Copies are the slots to copy next, in this order: first the beginnings of forked sequences, then the moves of decode
	// rows, among which no slot appears twice.
	Copies []Copy
	// Preempted are the sequences that lost their slots to others, which grew. They start over when there is room, and
	// get back to where they were before anything new starts.
	Preempted []*Sequence
	// Release are the slots whose contents nobody needs any more and which this step doesn't use.
	Release []int
	// Starts are the sequences that take a slot, before the step runs. They waited until now, or had lost theirs.
	Starts []Start
	// Decode are the sequences that take a token: each feeds its Next at position Past. Unless Config.Uniform is set, row i
	// is in slot i.
	Decode []*Sequence
	// Chunks are the next parts of prompts, at most one of each.
	Chunks []Chunk
}

// Save is of BlockSize positions of a slot, from From on, into each of the blocks in turn.
type Save struct {
	Slot, From int
	Blocks     []int
}

// Copy is of the first Length positions of slot Src to slot Dst.
type Copy struct{ Dst, Src, Length int }

// Start is a sequence that takes a slot. Load are the blocks of the prefix store that hold its first Length positions,
// the last of them perhaps more: what has to be copied into the slot.
type Start struct {
	Sequence *Sequence
	Load     []int
	Length   int
}

// Chunk is the next part of a prompt.
type Chunk struct {
	Sequence *Sequence
	Tokens   []uint32 // part of the prompt, at least one token
	Past     int      // positions that the slot holds before it
	Last     bool     // the prompt's last: the logits after it give the first token

	// Forks are waiting twins of the sequence, for which there are slots: the logits after the last chunk give each of
	// them its first token too.
	Forks []*Sequence
}

// Empty says whether the plan has nothing to run. It may still have positions to save and slots to release.
func (p *Plan) Empty() bool { return len(p.Decode) == 0 && len(p.Chunks) == 0 }

// Result is what became of one sequence in a step.
type Result struct {
	Token    uint32 // the token that was drawn, the last one if there were several
	Accepted int    // tokens of the draft that were drawn before it
	Done     bool   // the sequence ends here
}

package sched

import "github.com/sluiceml/sluice/inference/kvcache"

// Sequence is one prompt and its continuation, as the scheduler sees it. The caller fills the exported fields before
// Add and leaves them alone afterwards.
type Sequence struct {
	Prompt   []uint32 // not empty, and shorter than a slot; kept, not copied
	Deadline int64    // when a waiting sequence expires, on the clock of Expire; 0: never
	// Salt and Hashes are what the prefix store knows the prompt's blocks by: see kvcache.Hashes. Without hashes the
	// sequence neither uses the store nor fills it. The scheduler appends those of what is generated.
	Salt   string
	Hashes []kvcache.Hash

	// ChunkLimit is the most tokens of the prompt that run in one step, if it is below Config.ChunkSize; 0: no limit of
	// its own. Of the sequences that have one, one at a time is in a step.
	ChunkLimit int
	// LimitedFrom is the position in the prompt from which on ChunkLimit holds. No chunk crosses it, and no more is taken
	// from the prefix store.
	LimitedFrom int

	// Draft are guesses of what follows Next. The owner sets them for a plan's step, before it is run, or to nil: of all
	// sequences together no more than Scheduler.Room.
	Draft []uint32
	// Twins are sequences with the same prompt, this one among them. Where one of them has run it, those that wait take
	// copies of its keys and values as far as there are slots, instead of running it again.
	Twins []*Sequence

	// Tenant is who shares with others fairly: see Scheduler.
	Tenant string
	// Rank says which of a tenant's sequences starts first: the lowest. One that is the time of arrival, less something
	// for each step of priority, lets nothing wait forever.
	Rank int64
	// Priority says who loses its slot first where memory is short: of those that never lost it, the lowest.
	Priority int

	Owner any // the caller's own record of the sequence; the scheduler does not look at it

	state state
	slot  int      // while prefilling or decoding
	past  int      // positions that the slot holds
	text  []uint32 // while prefilling: what runs in chunks, the prompt and perhaps what was generated behind it
	share int      // how many tokens of it the plan takes
	next  uint32   // the token that the next decode step feeds

	generated   []uint32 // all tokens that were drawn
	fed         int      // which of them is next; the last one, unless they are being fed again
	order       int      // 1 for the first sequence that started, 2 for the second …; 0 before
	preemptions int      // how often it lost its slot

	account *account // of its tenant

	cached int         // positions that came from the prefix store
	stored int         // blocks that the store was asked to hold; all if it can hold no more
	last   kvcache.Ref // the last of these
}

type state int

const (
	stateNew state = iota
	stateWaiting
	statePrefill
	stateDecode
	statePreempted
	stateDone
)

// Replaying says whether the sequence has been preempted and is on its way back to where it was: its tokens are known,
// and the logits of a step are of no use.
func (q *Sequence) Replaying() bool {
	switch q.state {
	case statePrefill:
		return len(q.generated) > 0
	case stateDecode:
		return q.fed < len(q.generated)-1
	case stateNew, stateWaiting, statePreempted, stateDone:
	}
	return false
}

// Replay are the known tokens behind Next, at most so many: a draft that is right. The token behind the last of them is
// known too.
func (q *Sequence) Replay(most int) []uint32 {
	from := q.fed + 1
	return q.generated[from:max(from, min(len(q.generated)-1, from+most))]
}

// Preemptions is how often the sequence lost its slot to others.
func (q *Sequence) Preemptions() int { return q.preemptions }

// Slot is the slot that holds the sequence while it runs; -1 while it waits and after its end.
func (q *Sequence) Slot() int {
	if q.Running() {
		return q.slot
	}
	return -1
}

// Past is the number of positions that the sequence's slot holds.
func (q *Sequence) Past() int { return q.past }

// Cached is the number of prompt tokens whose keys and values came from the prefix store when it started.
func (q *Sequence) Cached() int { return q.cached }

// At is the token of a position: of the prompt, or of what was generated, Next included. The position is not behind Past.
func (q *Sequence) At(position int) uint32 {
	if position < len(q.Prompt) {
		return q.Prompt[position]
	}
	return q.generated[position-len(q.Prompt)]
}

// Next is the token that the sequence's next decode row feeds. It is undefined before the prompt's end.
func (q *Sequence) Next() uint32 { return q.next }

// Waiting says whether the sequence is in the queue.
func (q *Sequence) Waiting() bool { return q.state == stateWaiting }

// Running says whether the sequence has a slot.
func (q *Sequence) Running() bool { return q.state == statePrefill || q.state == stateDecode }

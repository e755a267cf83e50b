package sched

import (
	"fmt"
	"slices"

	"github.com/sluiceml/sluice/inference/kvcache"
)

// Config holds the sizes that a Scheduler plans for.
type Config struct {
	Slots     int // sequences that run at once, at least 1
	MaxLength int // positions of a slot, at least 2
	ChunkSize int // most tokens of a prompt chunk, at least 1
	// RidingSize is the most tokens of a chunk that rides along with sequences that decode, while no other prompt waits
	// for its turn and has a slot to run in; 0: as ChunkSize. A lone prompt then hardly slows the others down, and
	// several at once still run at full speed.
	RidingSize int
	Blocks     int // blocks of the prefix store; 0: there is none
	// Budget is the most positions that all slots hold together, at least MaxLength; 0: as many as they have room for.
	Budget int
	Linger int // steps for which a free slot keeps its memory, for the next sequence that needs it
}

// Scheduler plans the steps of one session. It is not safe for concurrent use. Its methods panic if they are called
// out of the order that the package comment shows, or with a sequence in the wrong state.
type Scheduler struct {
	cfg     Config
	ledger  *kvcache.Ledger
	prefix  *prefix     // nil: no store
	waiting []*Sequence // in order of arrival
	lost    []*Sequence // that were preempted, in the order in which they first started
	tenants accounts
	started int         // sequences so far
	ousted  int         // preemptions so far
	prefill *Sequence   // the one sequence whose prompt is running, or nil
	decode  []*Sequence // the sequences with a token, in no order; row i is planned into slot i
	freed   []freed     // slots that may have memory to give back
	steps   int         // plans with work so far
	flush   bool        // the next plan releases all free slots
	forks   []Copy      // of the sequences that were forked since the last plan
	twins   []*Sequence // memory of Chunk.Forks
	plan    Plan
	planned bool // a plan with work is out: Update is due
}

// Plan is what the next step does. It belongs to the scheduler and holds until the next Schedule.
type Plan struct {
	// Copies are the slots to copy before anything else, in this order: first the beginnings of forked sequences, then
	// the moves of decode rows, among which no slot appears twice.
	Copies []Copy
	// Preempted are the sequences that lost their slots to others, which grew. They start over when there is room, and
	// get back to where they were before anything new starts.
	Preempted []*Sequence
	// Release are the slots whose contents nobody needs any more and which this step doesn't use.
	Release []int
	// Decode are the sequences that take a token: row i is in slot i, feeds its Next at position Past.
	Decode []*Sequence
	// Chunk is the next part of a prompt, if Chunk.Sequence is not nil.
	Chunk Chunk
}

// Copy is of the first Length positions of slot Src to slot Dst.
type Copy struct{ Dst, Src, Length int }

// Chunk is the next part of a prompt.
type Chunk struct {
	Sequence *Sequence
	Tokens   []uint32 // part of the prompt, 1 to ChunkSize tokens
	Past     int      // positions that the slot holds before it
	First    bool     // the prompt's first: the sequence was waiting until now
	Last     bool     // the prompt's last: the logits after it give the first token

	// Forks are waiting twins of the sequence, for which there are slots: the logits after the last chunk give each of
	// them its first token too.
	Forks []*Sequence

	// Load are the blocks of the prefix store that hold the prompt's first Past positions, the last of them perhaps more:
	// what has to be copied into the slot before the chunk runs. Only a prompt's first chunk has them.
	Load []int
	// Save are the blocks in which positions of the slot have to be kept after the chunk has run, from SaveFrom on.
	Save     []int
	SaveFrom int
}

// Empty says whether the plan has nothing to run. It may still have slots to release.
func (p *Plan) Empty() bool { return len(p.Decode) == 0 && p.Chunk.Sequence == nil }

// Result is what became of one sequence in a step.
type Result struct {
	Token    uint32 // the token that was drawn, the last one if there were several
	Accepted int    // tokens of the draft that were drawn before it
	Done     bool   // the sequence ends here
}

// New makes a scheduler.
func New(cfg Config) *Scheduler {
	if cfg.ChunkSize < 1 || cfg.MaxLength < 2 || cfg.Budget != 0 && cfg.Budget < cfg.MaxLength {
		panic(fmt.Sprintf("sched: config %+v", cfg))
	}
	s := &Scheduler{cfg: cfg, ledger: kvcache.New(cfg.Slots, cfg.MaxLength), tenants: accounts{byTenant: map[string]*account{}}}
	if cfg.Blocks > 0 {
		s.prefix = newPrefix(cfg.Blocks)
	}
	return s
}

// Add puts a new sequence into the queue.
func (s *Scheduler) Add(q *Sequence) {
	if q.state != stateNew || len(q.Prompt) == 0 || len(q.Prompt) >= s.cfg.MaxLength {
		panic(fmt.Sprintf("sched: added a sequence in state %d with a prompt of %d", q.state, len(q.Prompt)))
	}
	q.state = stateWaiting
	s.waiting = append(s.waiting, q)
	s.tenants.enter(q)
}

// Waiting is the number of sequences in the queue, those that were preempted among them.
func (s *Scheduler) Waiting() int { return len(s.waiting) + len(s.lost) }

// Running is the number of sequences that have a slot.
func (s *Scheduler) Running() int { return s.ledger.Used() }

// Ledger shows the state of the slots. It must not be changed.
func (s *Scheduler) Ledger() *kvcache.Ledger { return s.ledger }

// Schedule plans the next step. If the plan is not empty, Update must follow.
func (s *Scheduler) Schedule() *Plan {
	if s.planned {
		panic("sched: Schedule without Update")
	}
	p := &s.plan
	p.Release, p.Preempted = p.Release[:0], p.Preempted[:0]
	s.fit(p)
	p.Copies = append(p.Copies[:0], s.forks...)
	s.forks = s.forks[:0]
	s.compact(p)
	p.Decode = s.decode
	p.Chunk = s.nextChunk(p)

	s.release(p)
	if s.planned = !p.Empty(); s.planned {
		s.steps++
	}
	return p
}

// freed is a slot that a sequence left at a step.
type freed struct{ slot, step int }

// release gives back the memory of the slots that have been free for long enough.
func (s *Scheduler) release(p *Plan) {
	kept := s.freed[:0]
	for _, f := range s.freed {
		switch {
		case s.ledger.Taken(f.slot): // it is of use again
		case s.flush || s.steps-f.step >= s.cfg.Linger:
			p.Release = append(p.Release, f.slot)
			s.ledger.Release(f.slot)
		default:
			kept = append(kept, f)
		}
	}
	s.freed, s.flush = kept, false
}

// Lingering says whether free slots keep memory.
func (s *Scheduler) Lingering() bool { return len(s.freed) > 0 }

// Flush makes the next plan release all free slots, however long they have been free.
func (s *Scheduler) Flush() { s.flush = true }

// compact puts the decode rows into slots 0 to n-1: each that lies beyond moves into a hole, and s.decode is ordered
// by slot. There are as many rows beyond as there are holes.
func (s *Scheduler) compact(p *Plan) {
	n := len(s.decode)
	hole := 0
	for i := 0; i < n; {
		q := s.decode[i]
		switch {
		case q.slot == i:
			i++
		case q.slot < n: // swap it to its row and look again at what comes here
			s.decode[i], s.decode[q.slot] = s.decode[q.slot], q
		default:
			for s.ledger.Taken(hole) {
				hole++
			}
			p.Copies = append(p.Copies, Copy{Dst: hole, Src: q.slot, Length: q.past})
			s.ledger.Move(hole, q.slot)
			s.freed = append(s.freed, freed{slot: q.slot, step: s.steps})
			q.slot = hole
		}
	}
}

// nextChunk is the next part of the prompt that is running, or the first of the next one that waits, or nothing.
func (s *Scheduler) nextChunk(p *Plan) Chunk {
	var c Chunk
	if s.prefill == nil {
		c.First, c.Load = s.start(p)
	}
	q := s.prefill
	if q == nil {
		return Chunk{}
	}
	c.Sequence, c.Tokens, c.Past = q, q.Prompt[q.past:], q.past
	size := s.cfg.ChunkSize
	if s.cfg.RidingSize > 0 && len(s.decode) > 0 && (s.Waiting() == 0 || len(s.decode)+1 >= s.cfg.Slots) {
		size = min(size, s.cfg.RidingSize)
	}
	if q.ChunkLimit > 0 {
		size = min(size, q.ChunkLimit)
	}
	c.Last = len(c.Tokens) <= size
	if !c.Last {
		c.Tokens = c.Tokens[:size]
	}
	if c.Last {
		c.Forks = s.waitingTwins(q)
	}
	c.Save, c.SaveFrom = s.prefix.extend(q, c.Past+len(c.Tokens))
	return c
}

// start gives the next sequence its slot, if there is one and room for it: those that were preempted come first. It says
// whether it did, and which blocks of the prefix store hold the prompt's beginning.
func (s *Scheduler) start(p *Plan) (started bool, load []int) {
	if len(s.decode) == s.cfg.Slots || s.Waiting() == 0 {
		return false, nil
	}
	queue, place := &s.lost, 0
	if len(s.lost) == 0 {
		queue, place = &s.waiting, s.foremost()
	}
	q := (*queue)[place]
	if !s.hasRoom(len(q.Prompt) + len(q.generated)) {
		return false, nil
	}
	*queue = slices.Delete(*queue, place, place+1)
	if q.order == 0 {
		s.started++
		q.order = s.started
		s.tenants.start(q)
	}
	q.state, q.slot, q.past = statePrefill, len(s.decode), 0
	s.renew(p, q)
	s.ledger.Take(q.slot)
	load, found := s.prefix.start(q)
	s.extend(q, found)
	s.prefill = q
	return true, load
}

// Update takes the results of the last plan: one for each of its decode rows, and, if it held the last chunk of a
// prompt, one for that; of another chunk's only Done counts. There is one more for each of the chunk's forks.
func (s *Scheduler) Update(decode []Result, chunk Result, forks ...Result) {
	if !s.planned || len(decode) != len(s.decode) || len(forks) != len(s.plan.Chunk.Forks) {
		panic(fmt.Sprintf("sched: Update with %d results for %d rows and %d for %d forks, planned %t",
			len(decode), len(s.decode), len(forks), len(s.plan.Chunk.Forks), s.planned))
	}
	s.planned = false

	rows := s.decode
	kept := s.decode[:0]
	for i, q := range rows {
		s.extend(q, 1+decode[i].Accepted)
		if s.advance(q, decode[i]) {
			kept = append(kept, q)
		}
	}
	if q := s.prefill; q != nil {
		s.extend(q, len(s.plan.Chunk.Tokens))
		if q.preemptions == 0 {
			q.charge(len(s.plan.Chunk.Tokens), promptCost)
		}
		if s.plan.Chunk.Last || chunk.Done {
			s.prefill = nil
			for i, twin := range s.plan.Chunk.Forks { // before q may leave its slot
				if s.fork(twin, q, forks[i]) {
					kept = append(kept, twin)
				}
			}
			if s.begin(q, chunk) {
				kept = append(kept, q)
			}
		}
	}
	if len(kept) < len(rows) {
		clear(rows[len(kept):])
	}
	s.decode = kept
	s.plan.Decode, s.plan.Chunk = nil, Chunk{}
}

func (s *Scheduler) extend(q *Sequence, n int) {
	s.ledger.Extend(q.slot, n)
	q.past += n
}

// begin records the token after a sequence's prompt and says whether it goes on. One that was preempted has it already.
func (s *Scheduler) begin(q *Sequence, r Result) bool {
	drawn := len(q.generated) == 0
	if drawn {
		q.charge(1, generatedCost)
	}
	if r.Done {
		s.end(q)
		return false
	}
	if drawn {
		q.generated = append(q.generated, r.Token)
	}
	q.state, q.fed, q.next = stateDecode, 0, q.generated[0]
	return true
}

// advance records the tokens of a decode row and says whether it goes on. Those of one that was preempted are known.
func (s *Scheduler) advance(q *Sequence, r Result) bool {
	drawn := !q.Replaying()
	if drawn {
		q.charge(1+r.Accepted, generatedCost)
	}
	if r.Done {
		s.end(q)
		return false
	}
	if drawn {
		q.generated = append(append(q.generated, q.Draft[:r.Accepted]...), r.Token)
	}
	q.fed += 1 + r.Accepted
	q.next = q.generated[q.fed]
	return true
}

// end frees what a running sequence holds.
func (s *Scheduler) end(q *Sequence) {
	s.ledger.Free(q.slot)
	s.freed = append(s.freed, freed{slot: q.slot, step: s.steps})
	q.state, q.generated = stateDone, nil
	s.tenants.leave(q)
}

// Cancel removes a sequence: from the queue, or from its slot, which is free for the next step. A sequence that has
// ended is left alone.
func (s *Scheduler) Cancel(q *Sequence) {
	if s.planned {
		panic("sched: Cancel during a step")
	}
	switch q.state {
	case stateWaiting:
		i := slices.Index(s.waiting, q)
		s.waiting = slices.Delete(s.waiting, i, i+1)
		q.state = stateDone
		s.tenants.give(q)
	case statePrefill:
		s.prefill = nil
		s.end(q)
	case stateDecode:
		i := slices.Index(s.decode, q)
		s.decode = slices.Delete(s.decode, i, i+1)
		s.end(q)
	case statePreempted:
		i := slices.Index(s.lost, q)
		s.lost = slices.Delete(s.lost, i, i+1)
		q.state, q.generated = stateDone, nil
		s.tenants.leave(q)
	case stateNew, stateDone:
	}
}

// Expire removes the waiting sequences whose deadline is not after now and appends them to dst. Running and
// preempted ones are left alone: what has been started is worth finishing or is cancelled by its owner.
func (s *Scheduler) Expire(dst []*Sequence, now int64) []*Sequence {
	if s.planned {
		panic("sched: Expire during a step")
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(q *Sequence) bool {
		expired := q.Deadline != 0 && q.Deadline <= now
		if expired {
			q.state = stateDone
			s.tenants.give(q)
			dst = append(dst, q)
		}
		return expired
	})
	return dst
}

// All appends every sequence that waits or runs to dst: those that run first, then those that were preempted,
// then the queue in its order.
func (s *Scheduler) All(dst []*Sequence) []*Sequence {
	dst = append(dst, s.decode...)
	if s.prefill != nil {
		dst = append(dst, s.prefill)
	}
	dst = append(dst, s.lost...)
	return append(dst, s.waiting...)
}

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
	ChunkSize int // most tokens of all prompts in a step, at least 1
	// Uniform says that a step may take any tokens of any sequences, and that a token leaves the same bits in whatever part
	// of a step: so several prompts run together, no sequence ever moves, generated tokens are kept in the prefix store
	// too, and what was generated before a sequence lost its slot runs like a prompt.
	Uniform bool
	Blocks  int // blocks of the prefix store; 0: there is none
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
	prefill []*Sequence // the sequences whose prompts run, in the order in which they took their slots
	decode  []*Sequence // the sequences with a token, in no order; unless uniform, row i is planned into slot i
	pace    Pace
	freed   []freed     // slots that may have memory to give back
	steps   int         // plans with work so far
	flush   bool        // the next plan releases all free slots
	forks   []Copy      // of the sequences that were forked since the last plan
	twins   []*Sequence // memory of the plan's Chunk.Forks
	plan    Plan
	planned bool // a plan with work is out: Update is due
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

// Decoding is the number of sequences that have their first token: as many rows decode in the next step, or fewer if some
// lose their slots.
func (s *Scheduler) Decoding() int { return len(s.decode) }

// Ledger shows the state of the slots. It must not be changed.
func (s *Scheduler) Ledger() *kvcache.Ledger { return s.ledger }

// Schedule plans the next step. If the plan is not empty, Update must follow.
func (s *Scheduler) Schedule() *Plan {
	if s.planned {
		panic("sched: Schedule without Update")
	}
	p := &s.plan
	p.Release, p.Preempted = p.Release[:0], p.Preempted[:0]
	p.Starts, p.Chunks, s.twins = p.Starts[:0], p.Chunks[:0], s.twins[:0]
	p.Save = s.prefix.take(p.Save)
	s.fit(p)
	p.Copies = append(p.Copies[:0], s.forks...)
	s.forks = s.forks[:0]
	if !s.cfg.Uniform {
		s.compact(p)
	}
	p.Decode = s.decode
	s.start(p)
	s.chunks(p)

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

// Update takes the results of the last plan: one for each of its decode rows, one for each of its chunks, of which only
// Done counts unless it is the last of its prompt, and one for each fork, chunk by chunk.
func (s *Scheduler) Update(decode, chunks []Result, forks ...Result) {
	if !s.planned || len(decode) != len(s.decode) || len(chunks) != len(s.plan.Chunks) || len(forks) != len(s.twins) {
		panic(fmt.Sprintf("sched: Update with %d results for %d rows, %d for %d chunks, and %d for %d forks, planned %t",
			len(decode), len(s.decode), len(chunks), len(s.plan.Chunks), len(forks), len(s.twins), s.planned))
	}
	s.planned = false

	rows := s.decode
	kept := s.decode[:0]
	for i, q := range rows {
		s.ledger.Commit(q.slot, q.past+1+len(q.Draft))
		s.extend(q, 1+decode[i].Accepted)
		if s.advance(q, decode[i]) {
			kept = append(kept, q)
		}
	}
	for i, c := range s.plan.Chunks {
		q := c.Sequence
		s.extend(q, len(c.Tokens))
		s.prefix.extend(q)
		if !c.Last && !chunks[i].Done {
			continue
		}
		s.prefill = deleteOne(s.prefill, q)
		for _, twin := range c.Forks { // before q may leave its slot
			if s.fork(twin, q, forks[0]) {
				kept = append(kept, twin)
			}
			forks = forks[1:]
		}
		if s.begin(q, chunks[i]) {
			kept = append(kept, q)
		}
	}
	if len(kept) < len(rows) {
		clear(rows[len(kept):])
	}
	s.decode = kept
	clear(s.plan.Chunks)
	s.plan.Decode, s.plan.Chunks = nil, s.plan.Chunks[:0]
}

// deleteOne removes a sequence from a list.
func deleteOne(list []*Sequence, q *Sequence) []*Sequence {
	i := slices.Index(list, q)
	return slices.Delete(list, i, i+1)
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
	q.state, q.fed, q.text = stateDecode, len(q.text)-len(q.Prompt), nil // what is known behind the prompt has been fed with it
	q.next = q.generated[q.fed]
	return true
}

// advance records the tokens of a decode row and says whether it goes on. Those of one that was preempted are known.
func (s *Scheduler) advance(q *Sequence, r Result) bool {
	drawn := !q.Replaying()
	if drawn {
		q.charge(1+r.Accepted, generatedCost)
		q.generated = append(q.generated, q.Draft[:r.Accepted]...)
	}
	if s.cfg.Uniform {
		s.prefix.extend(q)
	}
	if r.Done {
		s.end(q)
		return false
	}
	if drawn {
		q.generated = append(q.generated, r.Token)
	}
	q.fed += 1 + r.Accepted
	q.next = q.generated[q.fed]
	return true
}

// end frees what a running sequence holds.
func (s *Scheduler) end(q *Sequence) {
	s.ledger.Free(q.slot)
	s.freed = append(s.freed, freed{slot: q.slot, step: s.steps})
	q.state, q.generated, q.text = stateDone, nil, nil
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
		s.waiting = deleteOne(s.waiting, q)
		q.state = stateDone
		s.tenants.give(q)
	case statePrefill:
		s.prefill = deleteOne(s.prefill, q)
		if q.preemptions == 0 { // what it did not get is not the tenant's to pay for
			q.charge(-q.left(), promptCost)
		}
		s.end(q)
	case stateDecode:
		s.decode = deleteOne(s.decode, q)
		s.end(q)
	case statePreempted:
		s.lost = deleteOne(s.lost, q)
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
	dst = append(append(dst, s.decode...), s.prefill...)
	dst = append(dst, s.lost...)
	return append(dst, s.waiting...)
}

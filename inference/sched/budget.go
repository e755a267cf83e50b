package sched

import (
	"math"
	"slices"
)

// fit makes room for what the next step adds to the slots: first from the memory that free slots keep, then from
// sequences that lose their slots.
func (s *Scheduler) fit(p *Plan) {
	if s.cfg.Budget == 0 {
		return
	}
	for s.ledger.Tokens()+s.growth() > s.cfg.Budget {
		q := s.victim()
		if q == nil {
			break // the only one: a slot is no longer than the budget
		}
		s.preempt(q)
		p.Preempted = append(p.Preempted, q)
	}
	if s.ledger.Committed()+s.growth() > s.cfg.Budget {
		s.flush = true
	}
}

// growth is how many positions the next step adds, tokens aside that are guessed right: those count once they are there.
func (s *Scheduler) growth() int {
	return len(s.decode) + min(s.cfg.ChunkSize, s.promised())
}

// Room is how many positions guesses may take in the step that is planned, beside what the plan itself adds. Wrong ones
// have memory until the sequence has grown past them or ended, so that they count like any other. Where free slots keep
// what guesses could use, the next plan releases it.
func (s *Scheduler) Room() int {
	if s.cfg.Budget == 0 {
		return math.MaxInt
	}
	planned := len(s.plan.Decode)
	for _, c := range s.plan.Chunks {
		planned += len(c.Tokens)
	}
	room := s.cfg.Budget - s.ledger.Committed() - planned
	if room < len(s.plan.Decode) {
		s.flush = s.Lingering()
	}
	return max(0, room)
}

// promised is how many positions the prompts that run will still take.
func (s *Scheduler) promised() int {
	n := 0
	for _, q := range s.prefill {
		n += q.left()
	}
	return n
}

// hasRoom says whether a number of positions more would stay within the budget. A little is kept free, so that what
// starts does not lose its slot at once to those that grow; a sequence that would be alone needs nothing beside it.
func (s *Scheduler) hasRoom(positions int) bool {
	if s.cfg.Budget == 0 || s.ledger.Used() == 0 {
		return true
	}
	const keep = 32 // of which one part is kept free
	return s.ledger.Tokens()+len(s.decode)+s.promised()+positions+s.cfg.Budget/keep <= s.cfg.Budget
}

// victim is the sequence that loses its slot next, or nil if there is only one. Of those that never lost it that is the
// one of the lowest priority, and of these the newest. Where all have lost it before, the newest: so the oldest of them
// always gets to its end, whatever comes.
func (s *Scheduler) victim() *Sequence {
	if s.ledger.Used() < 2 {
		return nil
	}
	var victim *Sequence
	for _, list := range [...][]*Sequence{s.prefill, s.decode} {
		for _, q := range list {
			if victim == nil || before(victim, q) {
				victim = q
			}
		}
	}
	return victim
}

// before says whether a keeps its slot longer than b.
func before(a, b *Sequence) bool {
	switch {
	case (a.preemptions == 0) != (b.preemptions == 0):
		return b.preemptions == 0
	case a.preemptions == 0 && a.Priority != b.Priority:
		return a.Priority > b.Priority
	}
	return a.order < b.order
}

// preempt takes a sequence's slot away. It waits in front of all that have not started.
func (s *Scheduler) preempt(q *Sequence) {
	if q.state == statePrefill {
		s.prefill = deleteOne(s.prefill, q)
	} else {
		s.decode = deleteOne(s.decode, q)
		s.forks = slices.DeleteFunc(s.forks, func(c Copy) bool { return c.Dst == q.slot })
	}
	s.ledger.Free(q.slot)
	s.freed = append(s.freed, freed{slot: q.slot, step: s.steps})
	q.state = statePreempted
	q.preemptions++
	s.ousted++
	i, _ := slices.BinarySearchFunc(s.lost, q, func(a, b *Sequence) int { return a.order - b.order })
	s.lost = slices.Insert(s.lost, i, q)
}

// renew gives the memory of the slot that a sequence is about to take back, if an earlier one left more there than it
// needs for a start and half of the budget is in use: it would count, and be of use to nobody.
func (s *Scheduler) renew(p *Plan, q *Sequence) {
	if s.cfg.Budget == 0 || s.ledger.CommittedIn(q.slot) <= len(q.text) || s.ledger.Committed() <= s.cfg.Budget/2 {
		return
	}
	s.ledger.Release(q.slot)
	p.Release = append(p.Release, q.slot)
	s.freed = slices.DeleteFunc(s.freed, func(f freed) bool { return f.slot == q.slot })
}

// Preemptions is how often a sequence lost its slot to others.
func (s *Scheduler) Preemptions() int { return s.ousted }

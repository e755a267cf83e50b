package sched

import "slices"

// waitingTwins are the twins of a sequence that can begin when it has run its prompt: as many as there are slots and
// room for.
func (s *Scheduler) waitingTwins(q *Sequence) []*Sequence {
	s.twins = s.twins[:0]
	free := s.cfg.Slots - s.ledger.Used()
	for _, twin := range q.Twins {
		if len(s.twins) == free || !s.hasRoom((1+len(s.twins))*len(q.Prompt)) {
			break
		}
		if twin.state == stateWaiting {
			s.twins = append(s.twins, twin)
		}
	}
	return s.twins
}

// fork lets a waiting twin of a sequence that has just run its prompt go on from there, and says whether it does. Its
// keys and values are copied by the next plan before anything else happens to a slot, so that the sequence may leave
// its own slot meanwhile. The first free slot spares moves.
func (s *Scheduler) fork(twin, from *Sequence, r Result) bool {
	i := slices.Index(s.waiting, twin)
	s.waiting = slices.Delete(s.waiting, i, i+1)
	s.tenants.start(twin)
	if r.Done {
		twin.state = stateDone
		s.tenants.leave(twin)
		return false
	}
	slot := 0
	for s.ledger.Taken(slot) {
		slot++
	}
	s.ledger.Take(slot)
	s.started++
	twin.order, twin.slot, twin.past = s.started, slot, 0
	s.begin(twin, r)
	s.extend(twin, from.past)
	s.forks = append(s.forks, Copy{Dst: slot, Src: from.slot, Length: from.past})
	return true
}

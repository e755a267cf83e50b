package sched

import "slices"

// waitingTwins are the twins of a sequence that can begin when it has run its prompt: as many as there are slots and
// room for, beside those of the plan's chunks before.
func (s *Scheduler) waitingTwins(q *Sequence) []*Sequence {
	first, free := len(s.twins), s.cfg.Slots-s.ledger.Used()
	for _, twin := range q.Twins {
		if len(s.twins) == free || !s.hasRoom((1+len(s.twins))*len(q.Prompt)) {
			break
		}
		if twin.state == stateWaiting && !slices.Contains(s.twins, twin) {
			s.twins = append(s.twins, twin)
		}
	}
	return s.twins[first:len(s.twins):len(s.twins)]
}

// fork lets a waiting twin of a sequence that has just run its prompt go on from there, and says whether it does. Its
// keys and values are copied by the next plan before anything else happens to a slot, so that the sequence may leave
// its own slot meanwhile. The first free slot spares moves.
func (s *Scheduler) fork(twin, from *Sequence, r Result) bool {
	s.waiting = deleteOne(s.waiting, twin)
	s.tenants.start(twin)
	if r.Done {
		twin.state = stateDone
		s.tenants.leave(twin)
		return false
	}
	slot := s.firstFree()
	s.ledger.Take(slot)
	s.started++
	twin.order, twin.slot, twin.past, twin.text = s.started, slot, 0, from.text
	twin.stored, twin.last = from.stored, from.last
	s.begin(twin, r)
	s.extend(twin, from.past)
	s.forks = append(s.forks, Copy{Dst: slot, Src: from.slot, Length: from.past})
	return true
}

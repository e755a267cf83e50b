package sched

import "slices"

// Pace bounds the chunks that ride along with sequences that decode, so that these are not held up. Prompts that run
// alone take Config.ChunkSize tokens a step.
type Pace struct {
	// Each is how many tokens of a chunk go beside sequences that decode; 0: any number. Where several prompts run together
	// each of them adds as many: every one brings another row sooner. Where they could only run one after the other there
	// is no bound while another one waits for its turn and has a slot to run in.
	Each int
	// Most is the most tokens of all chunks of a step together; 0: any number.
	Most int
	// Hold lets none ride along.
	Hold bool
}

// SetPace sets the pace from the next plan on.
func (s *Scheduler) SetPace(p Pace) { s.pace = p }

// start gives those that wait their slots, as far as there are slots and room: those that were preempted come first. Where
// there is no room for the next one, none behind it goes first. One that another is computing the beginning of waits for
// it, and lets others go first meanwhile.
func (s *Scheduler) start(p *Plan) {
	for s.ledger.Used() < s.cfg.Slots && s.Waiting() > 0 && (s.cfg.Uniform || len(s.prefill) == 0) {
		queue, place := &s.lost, 0
		if len(s.lost) == 0 {
			queue, place = &s.waiting, s.foremost()
		}
		if place < 0 {
			return
		}
		q := (*queue)[place]
		if !s.hasRoom(len(q.Prompt) + len(q.generated)) {
			return
		}
		*queue = slices.Delete(*queue, place, place+1)
		first := q.order == 0
		if first {
			s.started++
			q.order = s.started
			s.tenants.start(q)
		}
		q.state, q.slot, q.past, q.text = statePrefill, s.freeSlot(), 0, q.Prompt
		if s.cfg.Uniform && len(q.generated) > 0 { // the last one is not fed yet
			q.text = slices.Concat(q.Prompt, q.generated[:len(q.generated)-1])
		}
		s.renew(p, q)
		s.ledger.Take(q.slot)
		load, length := s.prefix.start(q)
		s.extend(q, length)
		if first {
			q.charge(len(q.Prompt)-length, promptCost)
		}
		s.prefill = append(s.prefill, q)
		p.Starts = append(p.Starts, Start{Sequence: q, Load: load, Length: length})
	}
}

// freeSlot is the slot that the next sequence takes: the one behind the decode rows where these have to be dense, which
// then is free as no other prompt runs, and else the first free one.
func (s *Scheduler) freeSlot() int {
	if !s.cfg.Uniform {
		return len(s.decode)
	}
	return s.firstFree()
}

// firstFree is the first slot that is free.
func (s *Scheduler) firstFree() int {
	slot := 0
	for s.ledger.Taken(slot) {
		slot++
	}
	return slot
}

// awaits says whether a waiting sequence gains from letting another one run first, which has its slot: it has the same
// prompt and will be forked from it, or its next block in the prefix store is about to be computed.
func (s *Scheduler) awaits(q *Sequence) bool {
	for _, other := range s.prefill {
		if len(q.Twins) > 0 && slices.Contains(q.Twins, other) && len(other.generated) == 0 {
			return true
		}
		// A block's hash tells all that is before it too.
		if n := other.stored; s.prefix != nil && n < min(len(q.Hashes), len(other.Hashes)) && q.Hashes[n] == other.Hashes[n] {
			return true
		}
	}
	return false
}

// chunks plans the next parts of the prompts that have a slot.
//
// The tokens of a step are divided so that a long prompt gets to its end whatever comes behind it, and a short one does not
// wait for a long one before it: half goes to the prompt that started first, and the rest in the order of what they have
// left, least first.
func (s *Scheduler) chunks(p *Plan) {
	if len(s.prefill) == 0 {
		return
	}
	oldest := s.prefill[0]
	for _, q := range s.prefill {
		q.share = 0
		if q.order < oldest.order {
			oldest = q
		}
	}
	left := s.chunkTokens()
	for next, most := oldest, (left+1)/2; next != nil; next, most = s.shortest(), left {
		n := min(most, next.wants())
		next.share += n
		if left -= n; left == 0 {
			break
		}
	}
	for _, q := range s.prefill {
		if q.share > 0 {
			s.chunk(p, q)
		}
	}
}

// shortest is the sequence with the least left of its prompt, of those that can take more tokens in the next step; nil if
// none can. Of those that have a limit one can.
func (s *Scheduler) shortest() (next *Sequence) {
	limited := slices.ContainsFunc(s.prefill, func(q *Sequence) bool { return q.ChunkLimit > 0 && q.share > 0 })
	for _, q := range s.prefill {
		switch {
		case q.wants() == 0 || limited && q.ChunkLimit > 0 && q.share == 0:
		case next == nil || q.left()-q.share < next.left()-next.share:
			next = q
		}
	}
	return next
}

// wants is how many tokens of its text a sequence can take in the next step beside its share.
func (q *Sequence) wants() int {
	n := q.left()
	switch {
	case q.past < q.LimitedFrom:
		n = min(n, q.LimitedFrom-q.past)
	case q.ChunkLimit > 0:
		n = min(n, q.ChunkLimit)
	}
	return n - q.share
}

// left is how many tokens of its text a sequence still has to run.
func (q *Sequence) left() int { return len(q.text) - q.past }

// chunkTokens is how many tokens of prompts the next step takes.
func (s *Scheduler) chunkTokens() int {
	n := s.cfg.ChunkSize
	if len(s.decode) == 0 {
		return n
	}
	if each := s.pace.Each; each > 0 {
		switch {
		case s.cfg.Uniform:
			n = min(n, each*len(s.prefill))
		case s.Waiting() == 0 || len(s.decode)+1 >= s.cfg.Slots:
			n = min(n, each)
		}
	}
	if s.pace.Most > 0 {
		n = min(n, s.pace.Most)
	}
	if s.pace.Hold {
		n = 0
	}
	return n
}

// chunk plans a sequence's share.
func (s *Scheduler) chunk(p *Plan, q *Sequence) {
	c := Chunk{Sequence: q, Tokens: q.text[q.past:][:q.share], Past: q.past, Last: q.share == q.left()}
	if c.Last && len(q.generated) == 0 {
		c.Forks = s.waitingTwins(q)
	}
	p.Chunks = append(p.Chunks, c)
}

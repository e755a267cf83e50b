package sched_test

import (
	"math/rand/v2"
	"testing"

	"github.com/sluiceml/sluice/inference/kvcache"
	"github.com/sluiceml/sluice/inference/sched"
)

// TestRandomBudgets drives random work through small budgets, with guesses that are right or wrong. The positions that are
// held stay within the budget, and so does memory wherever there are guesses, every sequence gets the same tokens in the
// same places however often it loses its slot, what has started goes on before anything new starts, and everything ends.
func TestRandomBudgets(t *testing.T) {
	preemptions, drafted, accepted := 0, 0, 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		cfg := sched.Config{
			Slots: 2 + rng.IntN(6), MaxLength: 20 + rng.IntN(20), ChunkSize: 1 + rng.IntN(7), Linger: rng.IntN(20),
			Blocks: rng.IntN(4), Uniform: seed%2 == 1,
		}
		cfg.Budget = cfg.MaxLength + rng.IntN(60)
		s := sched.New(cfg)
		s.SetPace(sched.Pace{Each: rng.IntN(3), Most: rng.IntN(4)})
		m := newShadow(cfg)
		left := map[*sched.Sequence]int{} // tokens until a sequence ends
		fed := map[*sched.Sequence][]uint32{}
		memory := make([]int, cfg.Slots) // positions that a slot has memory for
		add := func() {
			twins := make([]*sched.Sequence, 1+max(0, rng.IntN(8)-4))
			prompt := make([]uint32, 1+rng.IntN(15))
			for i := range twins {
				twins[i] = &sched.Sequence{Prompt: prompt, Twins: twins, Priority: rng.IntN(3), Hashes: kvcache.Hashes(nil, "", prompt)}
				left[twins[i]] = 1 + rng.IntN(cfg.MaxLength-len(prompt))
				s.Add(twins[i])
			}
		}
		for step := 0; step < 300 || s.Running()+s.Waiting() > 0; step++ {
			if step < 300 && rng.IntN(3) == 0 {
				add()
			}
			if all := s.All(nil); len(all) > 0 && rng.IntN(40) == 0 {
				q := all[rng.IntN(len(all))]
				s.Cancel(q)
				delete(left, q)
			}
			if step > 100_000 {
				t.Fatalf("seed %d: it does not end", seed)
			}
			p := s.Schedule()
			m.apply(t, p, cfg)
			preemptions += len(p.Preempted)
			drafted += draft(s, p, cfg, rng)
			track(memory, p)
			if n := sum(memory); n > cfg.Budget && guesses(p) > 0 {
				t.Fatalf("seed %d, step %d: guesses take memory for %d positions, a budget of %d", seed, step, n, cfg.Budget)
			}
			if n := s.Ledger().Tokens() + len(p.Decode); n > cfg.Budget {
				t.Fatalf("seed %d, step %d: %d positions, a budget of %d", seed, step, n, cfg.Budget)
			}
			if n := sum(memory); n > s.Ledger().Committed()+lacking(s, p) {
				t.Fatalf("seed %d, step %d: memory for %d positions, the ledger says %d", seed, step, n, s.Ledger().Committed())
			}
			for _, start := range p.Starts {
				if start.Sequence.Preemptions() == 0 && lost(s) > 0 {
					t.Fatalf("seed %d, step %d: a new sequence starts before %d that lost their slots", seed, step, lost(s))
				}
			}
			if p.Empty() {
				if s.Waiting() > 0 {
					t.Fatalf("seed %d, step %d: nothing runs though %d wait", seed, step, s.Waiting())
				}
				continue
			}
			token := func(q *sched.Sequence) sched.Result {
				left[q]--
				fed[q] = append(fed[q], rng.Uint32())
				return sched.Result{Token: fed[q][len(fed[q])-1], Done: left[q] == 0}
			}
			results := make([]sched.Result, len(p.Decode))
			for i, q := range p.Decode {
				if at := q.Past() - len(q.Prompt); q.Next() != fed[q][at] {
					t.Fatalf("seed %d, step %d: token %d is %d, want %d", seed, step, at, q.Next(), fed[q][at])
				}
				if q.Replaying() {
					continue
				}
				results[i] = token(q)
				for _, guess := range q.Draft[:rng.IntN(len(q.Draft)+1)] {
					if results[i].Done {
						break
					}
					m.accept(q, guess)
					fed[q][len(fed[q])-1] = guess
					results[i] = sched.Result{Accepted: results[i].Accepted + 1, Token: token(q).Token, Done: left[q] == 0}
				}
				accepted += results[i].Accepted
			}
			chunks := make([]sched.Result, len(p.Chunks))
			var forks []sched.Result
			var twins []*sched.Sequence
			for i, c := range p.Chunks {
				if c.Last && !c.Sequence.Replaying() {
					chunks[i] = token(c.Sequence)
				}
				for _, q := range c.Forks {
					forks, twins = append(forks, token(q)), append(twins, q)
				}
			}
			s.Update(results, chunks, forks...)
			for _, twin := range twins {
				if twin.Running() {
					m.forked[twin.Slot()] = twin
				}
			}
		}
		for q, n := range left {
			if n != 0 {
				t.Fatalf("seed %d: a sequence of %d is left with %d tokens", seed, len(q.Prompt), n)
			}
		}
	}
	if preemptions < 1000 || drafted < 1000 || accepted < 1000 || accepted > drafted*3/4 {
		t.Errorf("%d preemptions, %d of %d guesses were right", preemptions, accepted, drafted)
	}
}

// draft gives the rows of a plan random guesses, as many as there is room for, and says how many.
func draft(s *sched.Scheduler, p *sched.Plan, cfg sched.Config, rng *rand.Rand) (n int) {
	for _, q := range p.Decode {
		q.Draft = nil
	}
	for _, q := range p.Decode {
		if q.Replaying() {
			continue
		}
		most := min(5, s.Room()-n, cfg.MaxLength-q.Past()-1)
		for range rng.IntN(most + 1) {
			q.Draft = append(q.Draft, rng.Uint32())
		}
		n += len(q.Draft)
	}
	return n
}

// guesses is how many guesses the rows of a plan have.
func guesses(p *sched.Plan) (n int) {
	for _, q := range p.Decode {
		n += len(q.Draft)
	}
	return n
}

// accept says that the token which a decode row has fed was followed by a guess that was right.
func (s shadow) accept(q *sched.Sequence, guess uint32) {
	at := &s.slots[q.Slot()]
	at.tokens = append(at.tokens, guess)
	s.known[q] = append(s.text(q), guess)
}

// track follows which slots have memory through a plan.
func track(memory []int, p *sched.Plan) {
	for _, c := range p.Copies {
		memory[c.Dst] = max(memory[c.Dst], c.Length)
	}
	for _, i := range p.Release {
		memory[i] = 0
	}
	for _, start := range p.Starts {
		i := start.Sequence.Slot()
		memory[i] = max(memory[i], start.Length)
	}
	for _, q := range p.Decode {
		memory[q.Slot()] = max(memory[q.Slot()], q.Past()+1+len(q.Draft))
	}
	for _, c := range p.Chunks {
		i := c.Sequence.Slot()
		memory[i] = max(memory[i], c.Past+len(c.Tokens))
	}
}

// lacking is how many positions of a plan's step the ledger does not know of before Update.
func lacking(s *sched.Scheduler, p *sched.Plan) (n int) {
	for _, q := range p.Decode {
		n += max(0, q.Past()+1+len(q.Draft)-s.Ledger().CommittedIn(q.Slot()))
	}
	for _, c := range p.Chunks {
		n += max(0, c.Past+len(c.Tokens)-s.Ledger().CommittedIn(c.Sequence.Slot()))
	}
	return n
}

func sum(values []int) (n int) {
	for _, v := range values {
		n += v
	}
	return n
}

// lost is how many sequences wait for a slot that they had before.
func lost(s *sched.Scheduler) (n int) {
	for _, q := range s.All(nil) {
		if !q.Waiting() && !q.Running() {
			n++
		}
	}
	return n
}

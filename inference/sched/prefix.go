package sched

import "github.com/sluiceml/sluice/inference/kvcache"

// prefix plans what moves between the prefix store and the slots. A nil prefix plans nothing.
//
// A prompt takes from the store when it starts, and gives to it with each of its chunks, so that a prompt that starts
// later finds it, also while the first one still runs. What a plan saves is in the index at once, though it is written
// only after the plan's run: the next plan that could load it comes after that. What a plan loads it has loaded before
// it saves, so that a block may be evicted by the plan that uses it.
type prefix struct {
	index  *kvcache.Prefix
	load   []int
	save   []int
	asked  int // prompt tokens that were looked up
	cached int // those of them that were found
}

func newPrefix(blocks int) *prefix { return &prefix{index: kvcache.NewPrefix(blocks)} }

// start looks a prompt up and returns the blocks that hold its beginning, and how much that is. At least the last token
// is left, whose logits are not in the store. A sequence that starts again counts only the first time.
func (p *prefix) start(q *Sequence) (blocks []int, length int) {
	if p == nil || len(q.Hashes) == 0 {
		return nil, 0
	}
	found := p.index.Match(p.load[:0], q.Salt, q.Prompt, q.Hashes)
	p.load, q.last, q.stored = found.Blocks, found.Last, found.Whole
	if q.preemptions == 0 {
		q.cached = found.Length
		p.asked += len(q.Prompt)
		p.cached += found.Length
	}
	return p.load, found.Length
}

// extend gives places to the blocks of a prompt that are complete once its slot holds length positions. It returns
// those that have to be written, which hold positions one after the other, and the first of these.
func (p *prefix) extend(q *Sequence, length int) (blocks []int, from int) {
	if p == nil || len(q.Hashes) == 0 {
		return nil, 0
	}
	p.save = p.save[:0]
	for ; q.stored < min(length/kvcache.BlockSize, len(q.Hashes)); q.stored++ {
		at := q.stored * kvcache.BlockSize
		id, ref, fresh := p.index.Add(q.last, q.Salt, q.Hashes[q.stored], q.Prompt[at:])
		if ref == (kvcache.Ref{}) {
			q.stored = len(q.Hashes) // it can have no more
			break
		}
		q.last = ref
		// Blocks that are there already come before all that are not: a block is never there without its beginning.
		if fresh {
			if len(p.save) == 0 {
				from = at
			}
			p.save = append(p.save, id)
		}
	}
	return p.save, from
}

// PrefixStats are the figures of the prefix store since the scheduler was made.
type PrefixStats struct {
	AskedTokens  int // prompt tokens that were looked up
	CachedTokens int // those of them that were found
	Blocks       int // blocks that hold something
	Evictions    int // blocks that made room for others
}

// PrefixStats are all zero if there is no store.
func (s *Scheduler) PrefixStats() PrefixStats {
	if s.prefix == nil {
		return PrefixStats{}
	}
	return PrefixStats{
		AskedTokens:  s.prefix.asked,
		CachedTokens: s.prefix.cached,
		Blocks:       s.prefix.index.Held(),
		Evictions:    s.prefix.index.Evictions(),
	}
}

// Directory tells other goroutines what the prefix store holds; nil if there is none.
func (s *Scheduler) Directory() *kvcache.Directory {
	if s.prefix == nil {
		return nil
	}
	return s.prefix.index.Directory()
}

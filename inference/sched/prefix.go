package sched

import (
	"math"

	"github.com/sluiceml/sluice/inference/kvcache"
)

// prefix plans what moves between the prefix store and the slots. A nil prefix plans nothing.
//
// A sequence takes from the store when it starts, and gives to it as its blocks are completed, so that a prompt that starts
// later finds them, also while the first one still runs. What a step has completed is in the index at once and written by
// the next plan, before that plan loads anything; of one plan all is loaded before anything is added.
type prefix struct {
	index  *kvcache.Prefix
	load   []int                     // memory of the plan's Start.Load
	saves  []Save                    // of the next plan
	ids    []int                     // memory of their Blocks
	taken  []int                     // memory of the plan's
	tokens [kvcache.BlockSize]uint32 // of a block that was generated
	asked  int                       // prompt tokens that were looked up
	cached int                       // those of them that were found
}

func newPrefix(blocks int) *prefix { return &prefix{index: kvcache.NewPrefix(blocks)} }

// take is what the next plan saves. The memory of what the last one saved is used again.
func (p *prefix) take(used []Save) []Save {
	if p == nil {
		return nil
	}
	saves := p.saves
	p.saves = used[:0]
	p.ids, p.taken = p.taken[:0], p.ids
	p.load = p.load[:0]
	return saves
}

// start looks a sequence's text up and returns the blocks that hold its beginning, and how much that is. At least the last
// token is left, whose logits are not in the store. A sequence that starts again counts only the first time.
func (p *prefix) start(q *Sequence) (blocks []int, length int) {
	if p == nil || len(q.Hashes) == 0 {
		return nil, 0
	}
	first := len(p.load)
	text := q.text
	if q.LimitedFrom > 0 {
		text = text[:q.LimitedFrom+1]
	}
	found := p.index.Match(p.load, q.Salt, text, q.Hashes)
	p.load = append(p.load, found.Blocks...)
	q.last, q.stored = found.Last, found.Whole
	if q.preemptions == 0 {
		q.cached = found.Length
		p.asked += len(q.Prompt)
		p.cached += found.Length
	}
	return p.load[first:len(p.load):len(p.load)], found.Length
}

// extend gives places to the blocks of a sequence that its slot has completed, and plans to write those that are not there.
func (p *prefix) extend(q *Sequence) {
	if p == nil || len(q.Hashes) == 0 || q.stored >= q.past/kvcache.BlockSize {
		return
	}
	first, from := len(p.ids), 0
	for ; q.stored < q.past/kvcache.BlockSize; q.stored++ {
		at := q.stored * kvcache.BlockSize
		tokens := p.block(q, at)
		if q.stored == len(q.Hashes) {
			if q.ChunkLimit > 0 { // what is scored is of no use to others, nor in chunks of their size
				q.stored = math.MaxInt
				break
			}
			q.Hashes = append(q.Hashes, q.Hashes[q.stored-1].Next(tokens))
		}
		id, ref, fresh := p.index.Add(q.last, q.Salt, q.Hashes[q.stored], tokens)
		if ref == (kvcache.Ref{}) {
			q.stored = math.MaxInt // it can have no more
			break
		}
		q.last = ref
		// Blocks that are there already come before all that are not: a block is never there without its beginning.
		if fresh {
			if len(p.ids) == first {
				from = at
			}
			p.ids = append(p.ids, id)
		}
	}
	if n := len(p.ids); n > first {
		p.saves = append(p.saves, Save{Slot: q.slot, From: from, Blocks: p.ids[first:n:n]})
	}
}

// block is the tokens of a sequence's block from a position on.
func (p *prefix) block(q *Sequence, at int) []uint32 {
	if at+kvcache.BlockSize <= len(q.Prompt) {
		return q.Prompt[at : at+kvcache.BlockSize]
	}
	for i := range p.tokens {
		if k := at + i; k < len(q.Prompt) {
			p.tokens[i] = q.Prompt[k]
		} else {
			p.tokens[i] = q.generated[k-len(q.Prompt)]
		}
	}
	return p.tokens[:]
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

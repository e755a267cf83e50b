package engine

import (
	"cmp"
	"sync/atomic"

	"github.com/sluiceml/sluice/inference/sched"
)

// Stats are figures of an engine at a step boundary, or sums of several engines'.
type Stats struct {
	Running int // requests that hold a slot; each of several outputs of one counts
	Waiting int // requests that have been admitted and hold none
	Slots   int // requests that can run at once

	PrefixBlocks int // blocks that the prefix store has room for, of kvcache.BlockSize positions

	KVTokens    int // positions that the slots hold
	KVCapacity  int // positions that they may hold together
	Preemptions int // how often a request lost its slot to others and started over, since the engine was made

	// Of steps, since the engine was made:
	PrefilledTokens int // prompt tokens that were processed, those of a sequence that starts over again
	DecodedTokens   int // tokens that were generated

	// Of the prefix store, since the engine was made:
	QueriedTokens int // prompt tokens that were looked up
	CachedTokens  int // those of them that were found
	Evictions     int // blocks that made room for others
	PrefixBytes   int // memory of the blocks that hold something now

	// Of speculation, since the engine was made:
	DraftedTokens  int // guesses that were checked
	AcceptedTokens int // those of them that were right
	// Of these, those that a draft model made; the others were looked up.
	ModelDraftedTokens, ModelAcceptedTokens int
}

// Add is the sum of two engines' figures.
func (s Stats) Add(o Stats) Stats {
	return Stats{
		Running: s.Running + o.Running,
		Waiting: s.Waiting + o.Waiting,
		Slots:   s.Slots + o.Slots,

		PrefixBlocks: s.PrefixBlocks + o.PrefixBlocks,

		KVTokens:    s.KVTokens + o.KVTokens,
		KVCapacity:  s.KVCapacity + o.KVCapacity,
		Preemptions: s.Preemptions + o.Preemptions,

		PrefilledTokens: s.PrefilledTokens + o.PrefilledTokens,
		DecodedTokens:   s.DecodedTokens + o.DecodedTokens,

		QueriedTokens: s.QueriedTokens + o.QueriedTokens,
		CachedTokens:  s.CachedTokens + o.CachedTokens,
		Evictions:     s.Evictions + o.Evictions,
		PrefixBytes:   s.PrefixBytes + o.PrefixBytes,

		DraftedTokens:  s.DraftedTokens + o.DraftedTokens,
		AcceptedTokens: s.AcceptedTokens + o.AcceptedTokens,

		ModelDraftedTokens:  s.ModelDraftedTokens + o.ModelDraftedTokens,
		ModelAcceptedTokens: s.ModelAcceptedTokens + o.ModelAcceptedTokens,
	}
}

// KVUsage is the share of the cache that is taken, 0 to 1: that of the slots or that of the positions which they may
// hold together, whichever is larger. At 1, no request can start.
func (s Stats) KVUsage() float64 {
	if s.Slots == 0 {
		return 0
	}
	return max(float64(s.Running)/float64(s.Slots), float64(s.KVTokens)/float64(max(1, s.KVCapacity)))
}

// counters are what the engine's goroutine publishes for Stats.
type counters struct {
	running   atomic.Int64
	tokens    atomic.Int64
	preempted atomic.Int64
	prefilled atomic.Int64
	decoded   atomic.Int64
	queried   atomic.Int64
	cached    atomic.Int64
	evictions atomic.Int64
	blocks    atomic.Int64
	drafted   atomic.Int64
	accepted  atomic.Int64

	modelDrafted  atomic.Int64
	modelAccepted atomic.Int64
}

// publish copies the scheduler's figures; nil stands for an engine that has ended.
func (c *counters) publish(s *sched.Scheduler) {
	if s == nil {
		c.running.Store(0)
		c.tokens.Store(0)
		return
	}
	c.running.Store(int64(s.Running()))
	c.tokens.Store(int64(s.Ledger().Tokens()))
	c.preempted.Store(int64(s.Preemptions()))
	prefix := s.PrefixStats()
	c.queried.Store(int64(prefix.AskedTokens))
	c.cached.Store(int64(prefix.CachedTokens))
	c.evictions.Store(int64(prefix.Evictions))
	c.blocks.Store(int64(prefix.Blocks))
}

// Stats are the engine's figures now.
func (e *Engine) Stats() Stats {
	running := int(e.stats.running.Load())
	return Stats{
		Running: running,
		Waiting: max(0, e.inbox.admitted()-running),
		Slots:   e.limits.Slots,

		PrefixBlocks: e.limits.Blocks,

		KVTokens:    int(e.stats.tokens.Load()),
		KVCapacity:  e.capacity(),
		Preemptions: int(e.stats.preempted.Load()),

		PrefilledTokens: int(e.stats.prefilled.Load()),
		DecodedTokens:   int(e.stats.decoded.Load()),

		QueriedTokens: int(e.stats.queried.Load()),
		CachedTokens:  int(e.stats.cached.Load()),
		Evictions:     int(e.stats.evictions.Load()),
		PrefixBytes:   int(e.stats.blocks.Load()) * e.limits.BlockBytes,

		DraftedTokens:  int(e.stats.drafted.Load()),
		AcceptedTokens: int(e.stats.accepted.Load()),

		ModelDraftedTokens:  int(e.stats.modelDrafted.Load()),
		ModelAcceptedTokens: int(e.stats.modelAccepted.Load()),
	}
}

// capacity is how many positions the slots may hold together.
func (e *Engine) capacity() int {
	return cmp.Or(e.cfg.KVTokens, e.limits.Slots*e.limits.MaxLength)
}

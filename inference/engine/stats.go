package engine

import (
	"sync/atomic"

	"github.com/sluiceml/sluice/inference/sched"
)

// Stats are figures of an engine at a step boundary, or sums of several engines'.
type Stats struct {
	Running int // requests that hold a slot
	Waiting int // requests that have been admitted and hold none
	Slots   int // requests that can run at once
}

// Add is the sum of two engines' figures.
func (s Stats) Add(o Stats) Stats {
	return Stats{
		Running: s.Running + o.Running,
		Waiting: s.Waiting + o.Waiting,
		Slots:   s.Slots + o.Slots,
	}
}

// KVUsage is the share of the cache that is taken, 0 to 1. The unit in which the cache is given out is the slot, so
// it is the share of slots: at 1, no request can start.
func (s Stats) KVUsage() float64 {
	if s.Slots == 0 {
		return 0
	}
	return float64(s.Running) / float64(s.Slots)
}

// counters are what the engine's goroutine publishes for Stats.
type counters struct {
	running atomic.Int64
}

// publish copies the scheduler's figures; nil stands for an engine that has ended.
func (c *counters) publish(s *sched.Scheduler) {
	if s == nil {
		c.running.Store(0)
		return
	}
	c.running.Store(int64(s.Running()))
}

// Stats are the engine's figures now.
func (e *Engine) Stats() Stats {
	running := int(e.stats.running.Load())
	return Stats{
		Running: running,
		Waiting: max(0, e.inbox.admitted()-running),
		Slots:   e.limits.Slots,
	}
}

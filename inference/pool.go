package inference

import (
	"sync/atomic"

	"github.com/sluiceml/sluice/inference/engine"
)

// pool is the replicas of a model. It is safe for concurrent use.
type pool struct {
	replicas []Replica
	failed   []atomic.Bool
	next     atomic.Uint32 // breaks ties, so that idle replicas share the work
}

func newPool(replicas []Replica) *pool {
	return &pool{replicas: replicas, failed: make([]atomic.Bool, len(replicas))}
}

// pick returns the least loaded of the replicas that run, or nil if none does.
func (p *pool) pick() *Replica {
	var best *Replica
	least := 0
	start := int(p.next.Add(1))
	for k := range p.replicas {
		i := (start + k) % len(p.replicas)
		if p.failed[i].Load() {
			continue
		}
		stats := p.replicas[i].Engine.Stats()
		if load := stats.Running + stats.Waiting; best == nil || load < least {
			best, least = &p.replicas[i], load
		}
	}
	return best
}

// pickFor returns the replica for a prompt: the one that holds the longest prefix of it, unless that is busier than the
// others by too much, and the least loaded one of those that hold equally much. It is nil if none runs.
func (p *pool) pickFor(salt string, prompt []uint32) *Replica {
	if len(p.replicas) == 1 {
		return p.pick()
	}
	least := p.pick()
	if least == nil {
		return nil
	}
	base := least.Engine.Stats()
	best, longest := least, least.Engine.Cached(salt, prompt)
	for i := range p.replicas {
		r := &p.replicas[i]
		if r == least || p.failed[i].Load() {
			continue
		}
		if cached := r.Engine.Cached(salt, prompt); cached > longest && worthIt(r.Engine.Stats(), base) {
			best, longest = r, cached
		}
	}
	return best
}

// worthIt says whether a prompt goes to a replica that holds more of it, rather than to the least loaded one: not if it
// would wait there, and not if a quarter of the slots more would share the steps with it. Otherwise one popular prefix
// would draw all the work to one replica.
func worthIt(holder, least engine.Stats) bool {
	load := holder.Running + holder.Waiting
	return load < holder.Slots && load-least.Running-least.Waiting <= max(1, holder.Slots/4)
}

// fail takes a replica out of the pool and reports whether it was the last one.
func (p *pool) fail(i int) bool {
	p.failed[i].Store(true)
	for k := range p.failed {
		if !p.failed[k].Load() {
			return false
		}
	}
	return true
}

// stats are the figures of all replicas together.
func (p *pool) stats() (sum engine.Stats) {
	for i := range p.replicas {
		sum = sum.Add(p.replicas[i].Engine.Stats())
	}
	return sum
}

func (p *pool) drain() {
	for i := range p.replicas {
		p.replicas[i].Engine.Drain()
	}
}

func (p *pool) info() []ReplicaInfo {
	infos := make([]ReplicaInfo, len(p.replicas))
	for i, r := range p.replicas {
		stats := r.Engine.Stats()
		infos[i] = ReplicaInfo{Device: r.Device, Slots: stats.Slots, Running: stats.Running, Waiting: stats.Waiting}
	}
	return infos
}

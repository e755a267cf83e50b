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

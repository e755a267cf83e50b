package inference

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluiceml/sluice/inference/engine"
)

// pool is the replicas of a model. It is safe for concurrent use.
type pool struct {
	replicas []*replica
	next     atomic.Uint32 // breaks ties, so that idle replicas share the work
	draining chan struct{} // closed by drain
	drainOne sync.Once
	queue    atomic.Pointer[engine.Queue] // nil: what each engine was made with
}

func newPool(replicas []Replica) *pool {
	p := &pool{draining: make(chan struct{})}
	for _, r := range replicas {
		p.replicas = append(p.replicas, newReplica(r))
	}
	return p
}

// pick returns the engine of the least loaded of the replicas that serve, or nil if none does.
func (p *pool) pick() *engine.Engine {
	var best *engine.Engine
	least := 0
	start := int(p.next.Add(1))
	for k := range p.replicas {
		r := p.replicas[(start+k)%len(p.replicas)]
		if !r.serving.Load() {
			continue
		}
		e := r.current()
		stats := e.Stats()
		if load := stats.Running + stats.Waiting; best == nil || load < least {
			best, least = e, load
		}
	}
	return best
}

// pickFor returns the engine for a prompt: of the replica that holds the longest prefix of it, unless that is busier
// than the others by too much, and of the least loaded one of those that hold equally much. It is nil if none serves.
func (p *pool) pickFor(salt string, prompt []uint32) *engine.Engine {
	if len(p.replicas) == 1 {
		return p.pick()
	}
	least := p.pick()
	if least == nil {
		return nil
	}
	base := least.Stats()
	best, longest := least, least.Cached(salt, prompt)
	for _, r := range p.replicas {
		e := r.current()
		if e == least || !r.serving.Load() {
			continue
		}
		if cached := e.Cached(salt, prompt); cached > longest && worthIt(e.Stats(), base) {
			best, longest = e, cached
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

// lost routes around an engine that has refused a request because it failed, which its replica learns a moment later.
func (p *pool) lost(e *engine.Engine) {
	for _, r := range p.replicas {
		r.lost(e)
	}
}

// replace lets another engine take a replica's requests, or finish without any if the model is draining.
func (p *pool) replace(r *replica, e *engine.Engine) {
	r.replace(e)
	if queue := p.queue.Load(); queue != nil {
		e.SetQueue(*queue)
	}
	select {
	case <-p.draining:
		e.Drain()
	default:
	}
}

// setQueue changes what may wait for each engine, and for those to come.
func (p *pool) setQueue(queue engine.Queue) {
	p.queue.Store(&queue)
	for _, r := range p.replicas {
		r.current().SetQueue(queue)
	}
}

// serves says whether any replica takes requests.
func (p *pool) serves() bool {
	for _, r := range p.replicas {
		if r.serving.Load() {
			return true
		}
	}
	return false
}

// hiddenSize is the size of the hidden states that every replica gives; 0 if one gives none.
func (p *pool) hiddenSize() int {
	size := p.replicas[0].current().Limits().HiddenSize
	for _, r := range p.replicas[1:] {
		size = min(size, r.current().Limits().HiddenSize)
	}
	return size
}

// stats are the figures of all replicas together.
func (p *pool) stats() (sum engine.Stats) {
	for _, r := range p.replicas {
		sum = sum.Add(r.stats())
	}
	return sum
}

// drain makes the engines finish what they have, and those to come too.
func (p *pool) drain() {
	p.drainOne.Do(func() { close(p.draining) })
	for _, r := range p.replicas {
		r.current().Drain()
	}
}

// wait waits, and says whether nothing came in between: neither the end of ctx nor a drain.
func (p *pool) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-p.draining:
	}
	return false
}

func (p *pool) info() []ReplicaInfo {
	infos := make([]ReplicaInfo, len(p.replicas))
	for i, r := range p.replicas {
		stats := r.stats()
		infos[i] = ReplicaInfo{Device: r.device, Slots: stats.Slots, Running: stats.Running, Waiting: stats.Waiting}
	}
	return infos
}

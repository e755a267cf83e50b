package inference

import (
	"slices"
	"sync"

	"github.com/sluiceml/sluice/inference/engine"
)

// figures are the statistics under one name: of the model that serves and of those that it replaces, until they have
// drained. One gauge for each would show the last that was read, and a counter would begin anew with each model. It is
// safe for concurrent use.
type figures struct {
	mu      sync.Mutex
	pools   []*pool      // guarded by mu: those that run, or will
	retired engine.Stats // guarded by mu: totals of those that have ended
	stop    func() error // ends the reports; set before the model is shared
}

// report begins the reports of a model, or lets it take part in those of the one that it replaces.
func report(config Config, p *pool) (*figures, error) {
	if config.Replaces != nil && config.Replaces.figures.join(p) {
		return config.Replaces.figures, nil
	}
	f := &figures{pools: []*pool{p}}
	var err error
	f.stop, err = engine.ObserveStats(config.MeterProvider, config.Name, f.stats)
	return f, err
}

// join adds a pool, unless the reports have ended.
func (f *figures) join(p *pool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pools) == 0 {
		return false
	}
	f.pools = append(f.pools, p)
	return true
}

// leave takes a pool that has ended out of the figures. With the last one the reports end.
func (f *figures) leave(p *pool) error {
	f.mu.Lock()
	f.retired = f.retired.Add(totals(p.stats()))
	f.pools = slices.DeleteFunc(f.pools, func(other *pool) bool { return other == p })
	last := len(f.pools) == 0
	f.mu.Unlock()
	if last {
		return f.stop() // which waits for a report that is being made, and that one takes the lock
	}
	return nil
}

func (f *figures) stats() engine.Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := f.retired
	for _, p := range f.pools {
		sum = sum.Add(p.stats())
	}
	return sum
}

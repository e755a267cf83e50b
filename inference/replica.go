package inference

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/semconv"
)

// Replica is an engine of a model and the device that it runs on.
type Replica struct {
	Device string // as the operator wrote it, e.g. "cpu:threads=2"
	Engine *engine.Engine

	// NoEmbeddings says why the engine's session gives no hidden states; "": it gives some, or does not say.
	NoEmbeddings string

	// Rebuild makes an engine in the place of one that failed, whose Run has returned. It is called by one goroutine at a
	// time and never once Model.Run has returned. nil: a replica that fails stays out.
	Rebuild func(ctx context.Context) (*engine.Engine, error)
}

// ReplicaEvent says what became of a replica.
type ReplicaEvent struct {
	Device  string
	Err     error         // why its engine failed or could not be rebuilt; nil: a rebuilt one runs
	RetryIn time.Duration // until it is rebuilt; 0 with an error: it stays out
}

// A replica is rebuilt after a time that doubles with each failure, so many times in a row. One that has run for long
// enough has recovered, and its next failure is a first one.
const (
	firstRebuild = 100 * time.Millisecond
	slowestRetry = 30 * time.Second
	maxRebuilds  = 10
	recovered    = time.Minute
)

// replica is a Replica in the pool. Its engine changes when it is rebuilt.
type replica struct {
	device  string
	rebuild func(ctx context.Context) (*engine.Engine, error)
	serving atomic.Bool // its engine takes requests

	mu      sync.Mutex
	engine  *engine.Engine // guarded by mu
	retired engine.Stats   // guarded by mu: totals of the engines before this one
}

func newReplica(r Replica) *replica {
	made := &replica{device: r.Device, rebuild: r.Rebuild, engine: r.Engine}
	made.serving.Store(true)
	return made
}

// current is the engine that takes the replica's requests.
func (r *replica) current() *engine.Engine {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engine
}

// lost takes the replica out of service if that is its engine.
func (r *replica) lost(e *engine.Engine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.engine == e {
		r.serving.Store(false)
	}
}

// replace puts another engine in the place of one that has failed.
func (r *replica) replace(e *engine.Engine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retired = r.retired.Add(totals(r.engine.Stats()))
	r.engine = e
	r.serving.Store(true)
}

// stats are the replica's figures: its engine's, with the totals of those before it. One that takes no requests has
// totals only.
func (r *replica) stats() engine.Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.engine.Stats()
	if !r.serving.Load() {
		now = totals(now)
	}
	return r.retired.Add(now)
}

// totals are those of an engine's figures that only grow.
func totals(s engine.Stats) engine.Stats {
	return engine.Stats{
		QueriedTokens: s.QueriedTokens, CachedTokens: s.CachedTokens, Evictions: s.Evictions,
		DraftedTokens: s.DraftedTokens, AcceptedTokens: s.AcceptedTokens, Preemptions: s.Preemptions,
	}
}

// keep runs a replica until ctx ends or a drain has finished, and rebuilds it when its engine fails. It returns the
// failure of a replica that stays out.
func (m *Model) keep(ctx context.Context, r *replica) error {
	failures := 0
	for {
		started := time.Now()
		err := r.current().Run(ctx)
		if err == nil || ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is no failure of the replica
		}
		r.serving.Store(false)
		if time.Since(started) >= recovered {
			failures = 0
		}
		for rebuilt := false; !rebuilt; rebuilt = err == nil {
			failures++
			if r.rebuild == nil || failures > maxRebuilds {
				m.tell(ReplicaEvent{Device: r.device, Err: err})
				return fmt.Errorf("model %q on %s: %w", m.config.Name, r.device, err)
			}
			wait := min(firstRebuild<<(failures-1), slowestRetry)
			m.tell(ReplicaEvent{Device: r.device, Err: err, RetryIn: wait})
			if !m.pool.wait(ctx, wait) {
				return nil
			}
			err = m.rebuild(ctx, r)
			m.restarts.count(ctx, err)
		}
		m.tell(ReplicaEvent{Device: r.device})
	}
}

// restarts counts the attempts to rebuild a model's replicas.
type restarts struct {
	counter        metric.Int64Counter
	rebuilt, again metric.AddOption // after success and failure
}

func newRestarts(provider metric.MeterProvider, model string) (restarts, error) {
	counter, err := provider.Meter("github.com/sluiceml/sluice/inference").Int64Counter(semconv.MetricReplicaRestarts,
		metric.WithUnit("{restart}"), metric.WithDescription("Attempts to rebuild a replica that failed"))
	if err != nil {
		return restarts{}, fmt.Errorf("model %q: %w", model, err)
	}
	set := func(more ...attribute.KeyValue) metric.AddOption {
		return metric.WithAttributeSet(attribute.NewSet(append(more, semconv.Model.String(model))...))
	}
	r := restarts{counter: counter, rebuilt: set(), again: set(semconv.ErrorType.String("rebuild"))}
	return r, nil
}

// begin makes the counter appear, at 0.
func (r restarts) begin(ctx context.Context) { r.counter.Add(ctx, 0, r.rebuilt) }

// count notes an attempt and how it went.
func (r restarts) count(ctx context.Context, err error) {
	option := r.rebuilt
	if err != nil {
		option = r.again
	}
	r.counter.Add(ctx, 1, option)
}

// rebuild makes an engine in the place of a replica's and lets it take requests.
func (m *Model) rebuild(ctx context.Context, r *replica) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(err, fmt.Errorf("rebuild: panic: %v", p))
		}
	}()
	e, err := r.rebuild(ctx)
	if err != nil {
		return fmt.Errorf("rebuild: %w", err)
	}
	m.pool.replace(r, e)
	return nil
}

func (m *Model) tell(event ReplicaEvent) {
	if m.config.OnReplica != nil {
		m.config.OnReplica(event)
	}
}

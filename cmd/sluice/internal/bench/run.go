package bench

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Run measures each load in turn and calls progress before each. It ends early when the context does: what was measured
// until then is returned along with the context's cause. The options must be valid.
func Run(ctx context.Context, target Target, o *Options, progress func(Load)) ([]Level, error) {
	r := &runner{target: target, options: o, timeout: cmp.Or(o.Timeout, maxDuration)}
	levels := make([]Level, 0, len(o.Loads))
	for _, load := range o.Loads {
		progress(load)
		if err := r.warm(ctx, load); err != nil {
			return levels, err
		}
		if ctx.Err() != nil {
			return levels, context.Cause(ctx)
		}
		into := newRecorder(load, o.SLO, time.Now())
		if load.open() {
			r.open(ctx, into, o.requests(load))
		} else {
			r.closed(ctx, into, load.Streams, o.requests(load), o.Duration)
		}
		levels = append(levels, into.result())
		if ctx.Err() != nil {
			return levels, context.Cause(ctx)
		}
	}
	return levels, nil
}

type runner struct {
	target  Target
	options *Options
	timeout time.Duration
	made    atomic.Uint64 // requests of the whole run, so that no two have the same prompt
}

func (r *runner) request() Request { return r.options.Workload.Request(r.made.Add(1)) }

// warm sends what is not measured. If none of it ends well, that is an error.
func (r *runner) warm(ctx context.Context, load Load) error {
	n := r.options.warmup(load)
	if n == 0 {
		return nil
	}
	into := newRecorder(load, SLO{}, time.Now())
	r.closed(ctx, into, min(max(load.Streams, 1), n), n, 0)
	if into.result().OK == 0 && ctx.Err() == nil {
		return fmt.Errorf("warm-up: %w", into.first)
	}
	return nil
}

// closed keeps a number of requests in flight until all are sent or the time is over.
func (r *runner) closed(ctx context.Context, into *recorder, streams, requests int, duration time.Duration) {
	var sent atomic.Int64
	var group sync.WaitGroup
	for range streams {
		group.Go(func() {
			for ctx.Err() == nil && sent.Add(1) <= int64(requests) {
				request, now := r.request(), time.Now()
				if duration > 0 && now.Sub(into.start) >= duration {
					return
				}
				into.ask(ctx, r.target, request, now, r.timeout)
			}
		})
	}
	group.Wait()
}

// open sends requests as they fall due until all are sent or the time is over.
func (r *runner) open(ctx context.Context, into *recorder, requests int) {
	room := make(chan struct{}, r.options.MaxInFlight)
	arrivals := newArrivals(r.options.Workload.Seed, into.load.Rate)
	var group sync.WaitGroup
	defer group.Wait()
	for range requests {
		at := arrivals.next()
		if r.options.Duration > 0 && at >= r.options.Duration {
			return
		}
		request, due := r.request(), into.start.Add(at)
		if !await(ctx, due) {
			return
		}
		select { // requests that wait for room are sent late, and say so: they were due all the same
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		group.Go(func() {
			into.ask(ctx, r.target, request, due, r.timeout)
			<-room
		})
	}
}

// await waits until a moment and says whether the context still stands.
func await(ctx context.Context, until time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

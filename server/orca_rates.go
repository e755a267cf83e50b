package server

import (
	"sync"
	"time"
)

// rateSeconds is the time over which rates are taken: long enough to be smooth at a call a second, short enough for a
// server that has got busy to say so.
const rateSeconds = 10

// rates are how many calls ended in the last seconds, by whether they failed. It is safe for concurrent use.
type rates struct {
	now     func() time.Time
	started time.Time

	mu      sync.Mutex
	seconds [rateSeconds]second // guarded by mu: the second t is at t % rateSeconds
}

// second is what ended in one second.
type second struct {
	at              int64 // since the start; 0: of no second, or the first
	calls, failures int
}

func newRates(now func() time.Time) *rates { return &rates{now: now, started: now()} }

// add counts the end of a call.
func (r *rates) add(failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := int64(r.now().Sub(r.started) / time.Second)
	s := &r.seconds[at%rateSeconds]
	if s.at != at {
		*s = second{at: at}
	}
	s.calls++
	if failed {
		s.failures++
	}
}

// perSecond are the rates of calls and of those that failed, over the running second and the whole ones before it, or
// over as many as there have been. Within the first second they are what they would be if it were over.
func (r *rates) perSecond() (calls, failures float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	age := r.now().Sub(r.started)
	at := int64(age / time.Second)
	for _, s := range r.seconds {
		if s.at > at-rateSeconds {
			calls += float64(s.calls)
			failures += float64(s.failures)
		}
	}
	span := min(age, (rateSeconds-1)*time.Second+age%time.Second)
	span = max(span, time.Second)
	return calls / span.Seconds(), failures / span.Seconds()
}

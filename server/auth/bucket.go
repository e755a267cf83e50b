package auth

import (
	"math"
	"sync"
	"time"
)

// bucket is a token bucket that can be in debt: golang.org/x/time/rate has no way to give back what was taken too much
// or to charge what was taken too little, and the tokens of a request are known at its end only. Safe for concurrent
// use.
type bucket struct {
	mu    sync.Mutex
	rate  float64   // a second; more than 0
	burst float64   // what it holds at most; at least 1
	level float64   // at the time at; below 0 is a debt
	at    time.Time // zero: never used, full
}

func newBucket(rate, burst float64) *bucket {
	return &bucket{rate: rate, burst: burst, level: burst}
}

// configure changes the limits and keeps what was spent.
func (b *bucket) configure(rate, burst float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.level += burst - b.burst
	b.rate, b.burst = rate, burst
}

// take takes n, or says how long it is until n would be there. More than the bucket holds is let in when the bucket is
// full, and leaves a debt: otherwise it could never be.
func (b *bucket) take(n float64, now time.Time) (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	if missing := min(n, b.burst) - b.level; missing > 0 {
		return seconds(missing / b.rate), false
	}
	b.level -= n
	return 0, true
}

// give adds n, which may be negative.
func (b *bucket) give(n float64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	b.level = min(b.burst, b.level+n)
}

// fill adds what has run in since the last time.
func (b *bucket) fill(now time.Time) {
	if passed := now.Sub(b.at); !b.at.IsZero() && passed > 0 {
		b.level = min(b.burst, b.level+b.rate*passed.Seconds())
	}
	if b.at.IsZero() || now.After(b.at) {
		b.at = now
	}
}

// maxWait is the longest wait that a client is told: a debt may take hours.
const maxWait = time.Hour

// seconds is a duration, rounded up to the millisecond so that one who waits that long is let in.
func seconds(s float64) time.Duration {
	if s >= maxWait.Seconds() {
		return maxWait
	}
	return time.Duration(math.Ceil(s*1000)) * time.Millisecond
}

// perSecond is the rate.
func (b *bucket) perSecond() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rate
}

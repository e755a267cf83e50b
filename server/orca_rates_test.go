package server

import (
	"testing"
	"time"
)

func TestRates(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	now := start
	r := newRates(func() time.Time { return now })
	expect := func(when string, calls, failures float64) {
		t.Helper()
		gotCalls, gotFailures := r.perSecond()
		if gotCalls != calls || gotFailures != failures {
			t.Errorf("%s: %v calls and %v failures a second, want %v and %v", when, gotCalls, gotFailures, calls, failures)
		}
	}
	expect("at the start", 0, 0)
	r.add(false)
	r.add(true)
	expect("within the first second", 2, 1)
	now = start.Add(4 * time.Second)
	expect("after four seconds", 0.5, 0.25)
	for range 18 {
		r.add(false)
	}
	expect("after more calls", 5, 0.25)
	now = start.Add(9500 * time.Millisecond) // the first second is still counted, and the running half
	expect("just before the first second is forgotten", 20/9.5, 1/9.5)
	now = start.Add(10 * time.Second)
	expect("when it is", 2, 0)
	now = start.Add(24 * time.Second) // the buckets would be reused only on the next call
	expect("after a silence", 0, 0)
	r.add(true)
	expect("a call after a silence", 1.0/9, 1.0/9)
}

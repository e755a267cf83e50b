package engine

import (
	"runtime"
	"time"
)

// goSlice is for how long Go lets a goroutine run, calls of C included, before its monitor thread takes the processor from it.
const goSlice = 10 * time.Millisecond

// turn is the time for which the engine's goroutine has had its processor. Between runs of the session it never blocks while
// there is work, so that the monitor would end its slice in the middle of a run: it then looks after that run some fifty times,
// 70 microseconds apart, on the cores that compute. So the goroutine has itself scheduled anew between two runs, before
// anybody is woken by the results.
//
// It does so only where the next run would not fit into the slice: it goes to the end of the one queue of all processors, behind
// everything that is ready to run, and after every run of a few milliseconds that would be several times as often as the monitor
// did it. What it waits there is no part of a step's time.
type turn struct{ began time.Time }

// begin starts a turn: the goroutine has been scheduled.
func (t *turn) begin() { t.began = time.Now() }

// over says whether another run that takes as long as the last one, which ended now, would outlast the slice, but for the
// turn. One that is longer than a slice loses its processor anyway, and comes back by way of the queue.
func (t *turn) over(took time.Duration, now time.Time) bool {
	return took < goSlice && now.Sub(t.began)+took >= goSlice
}

// yield ends the turn after a run if it is over, and starts another one.
func (t *turn) yield(took time.Duration, now time.Time) {
	if t.over(took, now) {
		runtime.Gosched()
		t.begin()
	}
}

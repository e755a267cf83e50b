package engine

import (
	"sync"
	"time"
)

// inbox is how requests get into the engine, and how those that are aborted reach its goroutine. Its methods may be
// called from any goroutine.
type inbox struct {
	capacity int           // slots and queue together
	queue    int           // the queue's part
	slots    int           // the slots' part
	wake     chan struct{} // holds a token if the engine has something to look at

	mu struct {
		sync.Mutex

		admitted int           // requests that have been admitted and have not ended
		added    []*job        // not seen by the engine yet
		aborted  []*job        // to be removed by the engine
		refusal  error         // why no request is taken any more; nil while they are
		service  time.Duration // moving average of how long a slot is held
	}
}

func newInbox(slots, queue int) *inbox {
	return &inbox{capacity: slots + queue, queue: queue, slots: slots, wake: make(chan struct{}, 1)}
}

// refusal is the error that a new request would get now.
func (in *inbox) refusal() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.refusalLocked(1)
}

func (in *inbox) refusalLocked(jobs int) error {
	if in.mu.refusal != nil {
		return in.mu.refusal
	}
	if in.mu.admitted+jobs > in.capacity {
		return &QueueFullError{Limit: in.queue, RetryAfter: in.retryAfterLocked()}
	}
	return nil
}

// retryAfterLocked estimates when a slot is free: with all of them busy, one is every service/slots. Before a request
// has ended there is nothing to go by.
func (in *inbox) retryAfterLocked() time.Duration {
	const least, most, unknown = 100 * time.Millisecond, 30 * time.Second, time.Second
	if in.mu.service == 0 {
		return unknown
	}
	return min(max(in.mu.service/time.Duration(in.slots), least), most)
}

// add admits jobs, all or none: the check and the count are one.
func (in *inbox) add(jobs ...*job) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.refusalLocked(len(jobs)); err != nil {
		return err
	}
	in.mu.admitted += len(jobs)
	in.mu.added = append(in.mu.added, jobs...)
	in.poke()
	return nil
}

// abort hands a job to the engine for removal. If it ended already, it leaves the count.
func (in *inbox) abort(j *job, ended bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if ended {
		in.mu.admitted--
	}
	in.mu.aborted = append(in.mu.aborted, j)
	in.poke()
}

// leave takes a job out of the count; it held its slot for a time, or 0 if it never had one.
func (in *inbox) leave(held time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.mu.admitted--
	if held == 0 {
		return
	}
	if in.mu.service == 0 {
		in.mu.service = held
	}
	in.mu.service += (held - in.mu.service) / 8
}

// take moves what has come into the two slices and says whether the engine is done: no request is taken any more
// and none is left.
func (in *inbox) take(added, aborted []*job) (_, _ []*job, done bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	added, aborted = append(added, in.mu.added...), append(aborted, in.mu.aborted...)
	clear(in.mu.added)
	clear(in.mu.aborted)
	in.mu.added, in.mu.aborted = in.mu.added[:0], in.mu.aborted[:0]
	return added, aborted, in.mu.refusal != nil && in.mu.admitted == 0
}

// close refuses new requests from now on. The first reason stays, unless a failure follows.
func (in *inbox) close(reason error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if _, failed := reason.(*FailedError); failed || in.mu.refusal == nil { //nolint:errorlint // our own, not wrapped
		in.mu.refusal = reason
	}
	in.poke()
}

// admitted is the number of requests that have been admitted and have not ended.
func (in *inbox) admitted() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.mu.admitted
}

// poke wakes the engine.
func (in *inbox) poke() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

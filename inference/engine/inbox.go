package engine

import (
	"slices"
	"sync"
	"time"
)

// inbox is how requests get into the engine, and how those that are aborted reach its goroutine. Its methods may be
// called from any goroutine.
type inbox struct {
	slots int           // outputs that run at once
	wake  chan struct{} // holds a token if the engine has something to look at

	mu struct {
		sync.Mutex

		tickets []*ticket     // of the requests that have been admitted and have not ended, in order
		jobs    int           // their outputs that have not ended
		running int           // of which belong to requests that have started
		added   []*job        // not seen by the engine yet
		aborted []*job        // to be removed by the engine
		refusal error         // why no request is taken any more; nil while they are
		service time.Duration // moving average of how long a slot is held
		queue   Queue
	}
}

// ticket is an admitted request's place.
type ticket struct {
	tenant  string
	rank    int64
	tokens  int       // of its prompt
	left    int       // outputs that have not ended
	started bool      // one of them has a slot, or had
	began   time.Time // when it got the first; zero before
}

func newInbox(slots int, cfg Config) *inbox {
	in := &inbox{slots: slots, wake: make(chan struct{}, 1)}
	in.mu.queue = Queue{Requests: cfg.QueueLimit, Tokens: cfg.QueueTokens, Time: cfg.QueueTime}
	return in
}

// setQueue changes the bounds for requests to come.
func (in *inbox) setQueue(q Queue) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.mu.queue = q
}

// refusal is the error that a request of a ticket would get now.
func (in *inbox) refusal(t *ticket) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.refusalLocked(t)
}

// refusalLocked is the error that a request would get. It waits if those before it take all slots. How many outputs it has
// doesn't matter: what finds no slot is still one request that waits.
func (in *inbox) refusalLocked(mine *ticket) error {
	if in.mu.refusal != nil {
		return in.mu.refusal
	}
	free, requests, waiting := in.slots-in.mu.running, 0, 0
	for _, t := range in.mu.tickets {
		switch {
		case t.started:
		case free > 0:
			free -= t.left
		default:
			requests++
			waiting += t.tokens
		}
	}
	if free > 0 {
		return nil
	}
	queue := in.mu.queue
	switch {
	case requests >= queue.Requests:
		return &QueueFullError{Limit: queue.Requests, Of: QueuedRequests, RetryAfter: in.retryAfterLocked()}
	case queue.Tokens > 0 && requests > 0 && waiting+mine.tokens > queue.Tokens:
		return &QueueFullError{Limit: queue.Tokens, Of: QueuedTokens, RetryAfter: in.retryAfterLocked()}
	}
	if queue.Time == 0 {
		return nil
	}
	if wait := in.waitLocked(mine, in.expectedLocked()); wait > queue.Time {
		return &QueueFullError{Limit: int(queue.Time.Milliseconds()), Of: QueuedTime, RetryAfter: max(wait-queue.Time, leastRetry)}
	}
	return nil
}

// drainLocked is the time after which one more slot gets free if each is held for a time, while those that have one are so
// many as now.
func (in *inbox) drainLocked(service time.Duration) time.Duration {
	return service / time.Duration(max(1, in.mu.running))
}

// expectedLocked is how long a slot is held: as long as it was lately, or as those that run have had theirs on average, if
// that is longer by now. Before anything has ended, twice that: what has run for a time is taken to be half done.
func (in *inbox) expectedLocked() time.Duration {
	var ages time.Duration
	running := 0
	for _, t := range in.mu.tickets {
		if t.started {
			ages += time.Since(t.began) * time.Duration(t.left)
			running += t.left
		}
	}
	age := ages / time.Duration(max(1, running))
	if in.mu.service == 0 {
		return 2 * age
	}
	return max(in.mu.service, age)
}

// leastRetry is the shortest time after which a refused request is told to come again.
const leastRetry = 100 * time.Millisecond

// retryAfterLocked estimates when a place is free.
func (in *inbox) retryAfterLocked() time.Duration {
	const most, unknown = 30 * time.Second, time.Second
	drain := in.drainLocked(in.expectedLocked())
	if drain == 0 {
		return unknown
	}
	return min(max(drain, leastRetry), most)
}

// waitLocked estimates how long a request would wait if each slot is held for the time service: until a slot has got free
// for each output before it, and one for itself. Tenants take turns, so that of each other tenant at most one output more
// goes before it than of its own.
func (in *inbox) waitLocked(mine *ticket, service time.Duration) time.Duration {
	free, own := in.slots-in.mu.running, 0
	var others map[string]int
	for _, t := range in.mu.tickets {
		switch {
		case t.started:
		case t.tenant != mine.tenant:
			if others == nil {
				others = map[string]int{}
			}
			others[t.tenant] += t.left
		case t.rank <= mine.rank:
			own += t.left
		}
	}
	before := own
	for _, n := range others {
		before += min(n, own+1)
	}
	if before < free {
		return 0
	}
	return time.Duration(before-max(0, free)+1) * in.drainLocked(service)
}

// add admits the jobs of a request, all or none: the check and the count are one. A request with a deadline, which is in
// so much time, is refused if it can't be met: need is the least time that it takes once it runs.
func (in *inbox) add(t *ticket, need, left time.Duration, jobs ...*job) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.refusalLocked(t); err != nil {
		return err
	}
	if left > 0 {
		if need += in.waitLocked(t, in.mu.service); need > left { // what was measured, and no guess: this refusal is final
			return &TooLateError{Need: need, Left: left}
		}
	}
	t.left = len(jobs)
	for _, j := range jobs {
		j.ticket = t
	}
	in.mu.tickets = append(in.mu.tickets, t)
	in.mu.jobs += len(jobs)
	in.mu.added = append(in.mu.added, jobs...)
	in.poke()
	return nil
}

// start says that a request has its first slot.
func (in *inbox) start(t *ticket) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !t.started {
		t.started, t.began = true, time.Now()
		in.mu.running += t.left
	}
}

// abort hands a job to the engine for removal. If it ended already, it leaves the count.
func (in *inbox) abort(j *job, ended bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if ended {
		in.leaveLocked(j.ticket)
	}
	in.mu.aborted = append(in.mu.aborted, j)
	in.poke()
}

// leave takes a job out of the count; it held its slot for a time, or 0 if it never had one.
func (in *inbox) leave(j *job, held time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.leaveLocked(j.ticket)
	if held == 0 {
		return
	}
	if in.mu.service == 0 {
		in.mu.service = held
	}
	in.mu.service += (held - in.mu.service) / 8
}

func (in *inbox) leaveLocked(t *ticket) {
	in.mu.jobs--
	if t.started {
		in.mu.running--
	}
	if t.left--; t.left == 0 {
		i := slices.Index(in.mu.tickets, t)
		in.mu.tickets = slices.Delete(in.mu.tickets, i, i+1)
	}
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
	return added, aborted, in.mu.refusal != nil && in.mu.jobs == 0
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

// admitted is the number of outputs that have been admitted and have not ended.
func (in *inbox) admitted() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.mu.jobs
}

// poke wakes the engine.
func (in *inbox) poke() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

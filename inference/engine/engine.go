package engine

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/sluiceml/sluice/inference/kvcache"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
	"github.com/sluiceml/sluice/inference/sched"
	"github.com/sluiceml/sluice/inference/speculate"
	"github.com/sluiceml/sluice/internal/panics"
)

// Engine runs the requests of one session. Submit, Refusal, SetQueue, Drain and Stats may be called from any goroutine; what is
// below the line belongs to the goroutine of Run.
type Engine struct {
	cfg     Config
	limits  runner.Limits
	inbox   *inbox
	stats   counters
	speed   speed
	epoch   time.Time // deadlines are counted from it
	entered atomic.Bool
	// directory is what the prefix store holds; nil: there is none.
	directory *kvcache.Directory

	// ---

	session   runner.Session
	sched     *sched.Scheduler
	batch     runner.Batch
	costs     costs
	turn      turn
	carry     float64           // of the pace
	drafts    []speculate.Draft // of the step's rows
	with      []float64         // what the step takes with so many tokens of drafts
	drafter   *drafter          // nil: no model guesses
	scratch   *sampling.Scratch
	drawers   drawers
	waker     waker
	tracer    *stepTracer
	meter     *stepMeter
	added     []*job
	aborted   []*job
	sequences []*sched.Sequence
	results   []sched.Result
	chunks    []sched.Result
	forks     []sched.Result
	row       []float32 // a copy of the logits after a prompt, for its forks
	text      []byte
}

// New makes an engine on a session. The session stays the caller's: it must be closed after Run has returned.
func New(session runner.Session, cfg Config) (*Engine, error) {
	limits := session.Limits()
	cfg, err := cfg.withDefaults(limits)
	if err != nil {
		return nil, err
	}
	meter, err := newStepMeter(cfg)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		cfg:     cfg,
		limits:  limits,
		inbox:   newInbox(limits.Slots, cfg),
		epoch:   time.Now(),
		session: session,
		sched: sched.New(sched.Config{
			Slots: limits.Slots, MaxLength: limits.MaxLength, ChunkSize: cfg.ChunkSize, Blocks: limits.Blocks,
			Linger: lingerSteps, Uniform: limits.Uniform, Budget: cfg.KVTokens,
		}),
		costs:   newCosts(limits),
		scratch: sampling.NewScratch(limits.VocabSize),
		tracer:  newStepTracer(cfg),
		meter:   meter,
		results: make([]sched.Result, 0, limits.Slots),
	}
	e.directory = e.sched.Directory()
	if cfg.Draft != nil && !cfg.NoSpeculation {
		if e.drafter, err = newDrafter(cfg.Draft, limits); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Limits are those of the session.
func (e *Engine) Limits() runner.Limits { return e.limits }

// Cached is how many tokens at the beginning of a prompt the prefix store probably holds: a hint for choosing among
// engines.
func (e *Engine) Cached(salt string, prompt []uint32) int {
	if e.directory == nil {
		return 0
	}
	return e.directory.Leading(kvcache.Hashes(nil, salt, prompt)) * kvcache.BlockSize
}

// Refusal is the error that Submit would answer now to a valid request of a tenant and a priority, or nil: a cheap question
// before costly preparations. Only Submit's own answer is binding.
func (e *Engine) Refusal(tenant string, priority int) error {
	return e.inbox.refusal(&ticket{tenant: tenant, rank: e.rank(time.Now(), priority)})
}

// SetQueue changes what may wait from now on. Requests that wait already stay.
func (e *Engine) SetQueue(q Queue) { e.inbox.setQueue(q) }

// rank is the place in the queue of a request of this moment.
func (e *Engine) rank(now time.Time, priority int) int64 {
	return int64(now.Sub(e.epoch) - time.Duration(priority)*PriorityStep)
}

// Submit admits a request or refuses it at once: with ErrInvalid, *QueueFullError, *TooLateError, ErrDraining, ErrStopped,
// *FailedError, or the cause of ctx. The request ends when ctx ends, at the latest; ctx also holds the span that is
// the parent of the request's spans. The Output must be read to its end or closed.
func (e *Engine) Submit(ctx context.Context, r Request) (*Output, error) {
	outputs, err := e.submit(ctx, []Request{r}, false)
	if err != nil {
		return nil, err
	}
	return outputs[0], nil
}

// submit admits requests that have one reader, all or none. Twins have the same prompt.
func (e *Engine) submit(ctx context.Context, requests []Request, twins bool) ([]*Output, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := e.Refusal(requests[0].Tenant, requests[0].Priority); err != nil {
		return nil, err
	}
	now, trace := time.Now(), e.tracer.job(ctx)
	jobs, outputs := make([]*job, len(requests)), make([]*Output, len(requests))
	for i, r := range requests {
		j, err := newJob(r, e.limits, now)
		if err != nil {
			return nil, err
		}
		j.trace = trace.another()
		j.seq.Rank = e.rank(now, r.Priority)
		if deadline, ok := ctx.Deadline(); ok {
			j.seq.Deadline = max(1, int64(deadline.Sub(e.epoch)))
		}
		j.out.abort = func(cause error) { e.abort(j, cause) }
		jobs[i], outputs[i] = j, j.out
		j.out.signals = outputs[0].signals
	}
	if twins {
		pair(jobs)
	}
	if err := e.enter(ctx, jobs); err != nil {
		return nil, err
	}
	for _, j := range jobs {
		j.out.watch(context.AfterFunc(ctx, func() { e.abort(j, context.Cause(ctx)) }))
	}
	return outputs, nil
}

// enter gives the jobs of a request a place, or says why there is none.
func (e *Engine) enter(ctx context.Context, jobs []*job) error {
	first := jobs[0]
	place := &ticket{tenant: first.seq.Tenant, rank: first.seq.Rank, tokens: len(first.seq.Prompt)}
	if len(jobs) > 1 && first.seq.Twins == nil { // each has a prompt of its own
		for _, j := range jobs[1:] {
			place.tokens += len(j.seq.Prompt)
		}
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return e.inbox.add(place, 0, 0, jobs...)
	}
	return e.inbox.add(place, e.need(first), max(1, time.Until(deadline)), jobs...)
}

// abort ends a job from outside: at once if it waits, at the next boundary if it runs.
func (e *Engine) abort(j *job, cause error) {
	waited := time.Since(j.submitted)
	whenWaiting := cause
	if errors.Is(cause, context.DeadlineExceeded) {
		whenWaiting = &ExpiredError{Waited: waited}
	}
	account := Summary{
		Usage:   Usage{PromptTokens: len(j.req.Prompt)},
		Timings: Timings{Queue: waited},
	}
	switch j.out.interrupt(cause, whenWaiting, account) {
	case phaseWaiting:
		e.inbox.abort(j, true)
	case phaseRunning:
		e.inbox.abort(j, false)
	case phaseEnded:
	}
}

// Drain refuses new requests from now on. Those that were admitted run to their end; then Run returns.
func (e *Engine) Drain() { e.inbox.close(ErrDraining) }

// Run is the loop. It returns nil after Drain, when the last request has ended; the cause of ctx if that ends first;
// and a *FailedError if the session fails or something panics. In every case all requests have ended then. It may be
// called once.
func (e *Engine) Run(ctx context.Context) (err error) {
	if !e.entered.CompareAndSwap(false, true) {
		return errors.New("engine: Run was called twice")
	}
	defer func() {
		if p := recover(); p != nil {
			err = &FailedError{Err: panics.New(p)}
		}
		e.shutDown(err)
	}()
	if runtime.GOMAXPROCS(0) > 1 {
		e.drawers.begin(e.limits.VocabSize)
		defer e.drawers.end()
		e.waker.begin()
		defer e.waker.end()
	}
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		done := e.intake()
		ran, err := e.step(ctx)
		if err != nil {
			return err
		}
		if ran {
			continue
		}
		if done {
			return nil
		}
		e.rest(ctx)
	}
}

// For how long free slots keep their memory: steps while there is work, a time when there is none. Where requests come one at
// a time, seconds apart, the next one finds the memory that the last one had: of a prompt of 512 tokens, first touches are 3
// to 4 % of the time to its first token.
const (
	lingerSteps = 256
	lingerIdle  = 10 * time.Second
)

// rest waits until there is something to do.
func (e *Engine) rest(ctx context.Context) {
	var idle <-chan time.Time
	if e.sched.Lingering() {
		timer := time.NewTimer(lingerIdle)
		defer timer.Stop()
		idle = timer.C
	}
	select {
	case <-e.inbox.wake:
	case <-ctx.Done():
	case <-idle:
		e.sched.Flush()
	}
	e.turn.begin()
}

// shutDown ends every request that is left.
func (e *Engine) shutDown(err error) {
	reason := ErrStopped
	var failed *FailedError
	switch {
	case err == nil:
		reason = ErrDraining
	case errors.As(err, &failed):
		reason = failed
	}
	e.inbox.close(reason)
	e.added, e.aborted, _ = e.inbox.take(e.added[:0], e.aborted[:0])
	for _, q := range e.sched.All(e.sequences[:0]) {
		e.added = append(e.added, jobOf(q))
	}
	for _, j := range e.added {
		if cause := j.out.cause(); cause != nil {
			e.end(j, nil, cause)
			continue
		}
		e.end(j, nil, reason)
	}
	e.stats.publish(nil)
}

// intake takes what came since the last step: new jobs, aborted ones, and those whose deadline has passed. It says
// whether nothing is left and nothing can come.
func (e *Engine) intake() (done bool) {
	e.added, e.aborted, done = e.inbox.take(e.added[:0], e.aborted[:0])
	for _, j := range e.added {
		e.sched.Add(&j.seq)
	}
	for _, j := range e.aborted {
		e.sched.Cancel(&j.seq)
		e.end(j, nil, j.out.cause())
	}
	clear(e.added)
	clear(e.aborted)
	if e.sched.Waiting() > 0 {
		now := time.Now()
		e.sequences = e.sched.Expire(e.sequences[:0], int64(now.Sub(e.epoch)))
		for _, q := range e.sequences {
			j := jobOf(q)
			e.end(j, nil, &ExpiredError{Waited: now.Sub(j.submitted)})
		}
		clear(e.sequences)
	}
	return done
}

// end settles a job that has left the scheduler, or is about to, unless it is settled already.
func (e *Engine) end(j *job, finish *Finish, err error) {
	now := time.Now()
	j.trace.end(e.tracer, j, now)
	if !j.out.end(finish, err, j.summary(now)) {
		return
	}
	var held time.Duration
	if !j.started.IsZero() {
		held = now.Sub(j.started)
	}
	e.inbox.leave(j, held)
}

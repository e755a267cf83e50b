package engine

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/sluiceml/sluice/inference/sampling"
)

// Output is the reader's end of a request. One goroutine at a time may call Next; the other methods may be called
// from any.
type Output struct {
	*signals

	abort func(cause error)

	submitted time.Time

	wantIDs                  bool
	logprobs, promptLogprobs Logprobs // what the request asked for

	mu struct {
		sync.Mutex

		pending           // not taken yet
		since   time.Time // when the first of what is not taken was put; zero if nothing is
		phase   phase
		started bool  // has been in a step
		err     error // how the output ended; io.EOF after a finish
		cause   error // why it was aborted while running
		summary Summary
		unwatch func() bool // stops watching the context of Submit
	}
}

// signals are how outputs that have one reader wake it.
type signals struct {
	ready   chan struct{} // holds a token if the reader has something to look at
	stalled chan struct{} // closed when an output ends with ErrSlowReader
	stall   sync.Once     // closes it
}

func newSignals() *signals {
	return &signals{ready: make(chan struct{}, 1), stalled: make(chan struct{})}
}

// pending is what the reader takes next.
type pending struct {
	text     []byte
	ids      []uint32
	logprobs []sampling.Logprob // of tokens, flat
	prompt   []sampling.Logprob // of the prompt's tokens, flat
	traces   []sampling.Trace
	vector   []float32
	finish   *Finish
}

// empty says whether there is nothing to take.
func (p *pending) empty() bool {
	return len(p.text) == 0 && len(p.ids) == 0 && len(p.logprobs) == 0 && len(p.prompt) == 0 && len(p.traces) == 0 && p.vector == nil && p.finish == nil
}

// reset empties it and keeps its memory.
func (p *pending) reset() {
	p.text, p.ids, p.logprobs, p.prompt = p.text[:0], p.ids[:0], p.logprobs[:0], p.prompt[:0]
	p.traces, p.vector, p.finish = nil, nil, nil
}

type phase int

const (
	phaseWaiting phase = iota // in the inbox or the scheduler's queue
	phaseRunning              // has been in a step
	phaseEnded
)

func newOutput(r *Request, submitted time.Time) *Output {
	o := &Output{
		signals: newSignals(), submitted: submitted,
		wantIDs: r.WantTokenIDs, logprobs: r.Logprobs, promptLogprobs: r.PromptLogprobs,
	}
	o.mu.summary.Usage.PromptTokens = len(r.Prompt)
	return o
}

// Next waits for the next Update. After the one whose Finish is set it returns io.EOF; an output that ends without
// one returns its error, after what came before. If ctx ends first, Next returns its cause and the request goes on:
// to end it is for Close or the context of Submit.
func (o *Output) Next(ctx context.Context) (Update, error) {
	for {
		u, err, ok := o.take()
		if ok {
			return u, err
		}
		select {
		case <-o.ready:
		case <-ctx.Done():
			return Update{}, context.Cause(ctx)
		}
	}
}

// take is what Next returns, if there is anything yet.
func (o *Output) take() (u Update, err error, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.empty() {
		return Update{}, o.mu.err, o.mu.err != nil
	}
	u = Update{
		Text: string(o.mu.text), Finish: o.mu.finish, Traces: o.mu.traces, Vector: o.mu.vector,
		Logprobs: o.logprobs.structured(o.mu.logprobs), Prompt: o.promptLogprobs.structured(o.mu.prompt),
	}
	if len(o.mu.ids) > 0 {
		u.TokenIDs = append([]uint32(nil), o.mu.ids...)
	}
	o.mu.reset()
	o.mu.since = time.Time{}
	return u, nil, true
}

// Summary is the account of the request so far, up to date with every token. It is final once Next has returned an error
// other than that of its context.
func (o *Output) Summary() Summary {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.summary
}

// Started says whether the request has been in a step: one that has not still waits, or ended waiting.
func (o *Output) Started() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.started
}

// Stalled is closed when the request has lost its slot because its reader took nothing for too long: what a reader
// watches that is blocked elsewhere meanwhile. Next returns ErrSlowReader then, after what came before.
func (o *Output) Stalled() <-chan struct{} { return o.stalled }

// Submitted is when the request was submitted, from which ExpiredError.Waited counts.
func (o *Output) Submitted() time.Time { return o.submitted }

// Close ends the request if it has not ended: its slot is free within one step. What was not taken is lost. It is
// idempotent.
func (o *Output) Close() {
	o.abort(ErrClosed)
}

// put adds a token of a job to what the reader takes next: its text, and its id, log-probabilities and trace if they are
// wanted. It says whether the reader has something new to look at and has to be woken, or has taken nothing for longer than
// timeout. The summary is the account with this token.
func (o *Output) put(text []byte, id uint32, j *job, now time.Time, timeout time.Duration, summary Summary) (fresh, stalled bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.phase == phaseEnded {
		return false, false
	}
	o.mu.summary = summary
	o.mu.text = append(o.mu.text, text...)
	if o.wantIDs {
		o.mu.ids = append(o.mu.ids, id)
	}
	o.mu.logprobs = append(o.mu.logprobs, j.entries...)
	o.mu.traces = append(o.mu.traces, j.traces...)
	return o.waitsLocked(now, timeout)
}

// putPrompt is put for tokens of the prompt, and wakes the reader.
func (o *Output) putPrompt(logprobs []sampling.Logprob, now time.Time, timeout time.Duration) (stalled bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.phase == phaseEnded {
		return false
	}
	o.mu.prompt = append(o.mu.prompt, logprobs...)
	fresh, stalled := o.waitsLocked(now, timeout)
	if fresh {
		o.signal()
	}
	return stalled
}

// waitsLocked says whether what there is to take has come just now, or waits for too long.
func (o *Output) waitsLocked(now time.Time, timeout time.Duration) (fresh, stalled bool) {
	if o.mu.empty() {
		return false, false
	}
	if o.mu.since.IsZero() {
		o.mu.since = now
		return true, false
	}
	return false, now.Sub(o.mu.since) > timeout
}

// start says that the request takes part in a step.
func (o *Output) start(summary Summary) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.phase == phaseWaiting {
		o.mu.phase = phaseRunning
		o.mu.started = true
		o.mu.summary = summary
	}
}

// end settles the output with a finish or an error, unless it has ended. The reader still gets what it has not
// taken, except after Close.
func (o *Output) end(finish *Finish, err error, summary Summary) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.endLocked(finish, err, summary)
}

func (o *Output) endLocked(finish *Finish, err error, summary Summary) bool {
	if o.mu.phase == phaseEnded {
		return false
	}
	o.mu.phase = phaseEnded
	o.mu.finish, o.mu.err, o.mu.summary = finish, err, summary
	if finish != nil {
		o.mu.err = io.EOF
	}
	if err == ErrClosed { //nolint:errorlint // our own, never wrapped
		o.mu.pending = pending{}
	}
	if err == ErrSlowReader { //nolint:errorlint // our own, never wrapped
		o.stall.Do(func() { close(o.stalled) })
	}
	if o.mu.unwatch != nil {
		o.mu.unwatch()
	}
	o.signal()
	return true
}

// interrupt ends an output that waits, with the error that ended makes of the cause; of one that runs it only notes
// the cause, for the engine. It says which.
func (o *Output) interrupt(cause, whenWaiting error, summary Summary) (was phase) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was = o.mu.phase
	switch was {
	case phaseWaiting:
		o.endLocked(nil, whenWaiting, summary)
	case phaseRunning:
		if o.mu.cause == nil {
			o.mu.cause = cause
		}
	case phaseEnded:
	}
	return was
}

// cause is why the output was interrupted while running, or nil.
func (o *Output) cause() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.cause
}

// watch keeps the function that stops watching the context, or calls it if the output has ended already.
func (o *Output) watch(unwatch func() bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.phase == phaseEnded {
		unwatch()
		return
	}
	o.mu.unwatch = unwatch
}

// signal wakes the reader.
func (s *signals) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

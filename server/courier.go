package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// sendTimeout is how long one event may wait for a client that does not read. The engine's own bound is shorter and
// takes the slot; this one ends calls whose output is finished, which hold no slot but would hold up a drain.
const sendTimeout = time.Minute

// errStalled says that the request lost its slot while an event of it waited to be sent.
var errStalled = errors.New("the client did not read, and the request lost its slot")

// courier sends the events of one call from a goroutine of its own, so that the handler can give up an event that is
// blocked by flow control: nothing but the handler's return unblocks that. That goroutine also takes the updates that the
// events are made of, so that a token goes from the engine to Send without a change of goroutines.
//
// What the goroutine works on is the handler's again when run returns: the goroutine has ended, or it is blocked in a Send
// after which it touches nothing. No Send begins any more then, and one that is under way ends when the handler returns,
// because gRPC ends the stream's context.
type courier struct {
	ctx     context.Context //nolint:containedctx // lives as long as the one call that it belongs to
	forward func(*sluicev1.GenerateStreamResponse) error
	stalled <-chan struct{}

	mu struct {
		sync.Mutex

		since time.Time // when the Send began that is under way; zero: none is
		over  error     // why nothing is sent any more
	}
}

// run has work done, which sends its events by c.send, and returns its error; or why that is not waited for any longer.
func (c *courier) run(work func() error) error {
	done := make(chan error, 1) // with a place, so that the goroutine ends when nobody waits any more
	go func() { done <- caught(work) }()
	timeout := time.NewTimer(sendTimeout)
	defer timeout.Stop()
	for {
		var cause error
		select {
		case err := <-done:
			return err
		case <-c.stalled:
			cause = errStalled
		case <-c.ctx.Done():
			cause = context.Cause(c.ctx)
		case <-timeout.C:
			if left := c.left(); left > 0 {
				timeout.Reset(left)
				continue
			}
			cause = &inference.SlowReaderError{}
		}
		if c.giveUp(cause) {
			return cause
		}
		return <-done // the updates have ended too, or what comes of them is not sent
	}
}

// send sends one event, unless nothing is sent any more; after an error it must not be called again.
func (c *courier) send(event *sluicev1.GenerateStreamResponse) error {
	if err := c.mark(time.Now()); err != nil {
		return err
	}
	err := c.forward(event)
	if over := c.mark(time.Time{}); over != nil {
		return over
	}
	return err
}

// mark notes when a Send began, or that it is over. The error is why nothing is sent any more.
func (c *courier) mark(since time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.over == nil {
		c.mu.since = since
	}
	return c.mu.over
}

// giveUp has nothing more sent. It says whether a Send is under way.
func (c *courier) giveUp(cause error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.over = cause
	return !c.mu.since.IsZero()
}

// left is how long the Send that is under way may still take, or the next one, if it began now.
func (c *courier) left() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.since.IsZero() {
		return sendTimeout
	}
	return sendTimeout - time.Since(c.mu.since)
}

// caught runs work and makes a panic of it an error, as the interceptors do with one of the handler's own goroutine.
func caught(work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return work()
}

// panicError is a panic of a courier's work.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// Stack is the stack of the panic, for the log.
func (e *panicError) Stack() []byte { return e.stack }

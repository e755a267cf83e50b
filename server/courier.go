package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/internal/panics"
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
// What the goroutine works on is the handler's again when run returns, with one exception: when run has given up an event,
// the goroutine is still in forward with it, or about to begin that. It goes on there until the handler has returned, which
// ends the stream's context and with it Send. So forward must end soon after that, and the handler must not touch what it
// touches. After it, send gives the cause, and work must return with that and touch nothing else.
type courier struct {
	ctx     context.Context //nolint:containedctx // lives as long as the one call that it belongs to
	forward func(*sluicev1.GenerateStreamResponse) error
	stalled <-chan struct{}

	mu struct {
		sync.Mutex

		since time.Time // when forward was given the event that it has; zero: it has none
		over  error     // why nothing is sent any more
	}
}

// run has work done, which sends its events by c.send, and returns its error; or why that is not waited for any longer.
func (c *courier) run(work func() error) error {
	done := make(chan error, 1) // with a place, so that the goroutine ends when nobody waits any more
	go func() { done <- panics.Catch(work) }()
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
			left, err := c.expire()
			if err != nil {
				return err
			}
			timeout.Reset(left)
			continue
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

// mark notes when forward is given an event, or that it is done with it. The error is why nothing is sent any more.
func (c *courier) mark(since time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.over == nil {
		c.mu.since = since
	}
	return c.mu.over
}

// giveUp has nothing more sent. It says whether forward has an event.
func (c *courier) giveUp(cause error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.over = cause
	return !c.mu.since.IsZero()
}

// expire has nothing more sent if forward has had its event for more than sendTimeout: the error says so. Else left is the
// time after which to look again.
func (c *courier) expire() (left time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.since.IsZero() {
		return sendTimeout, nil
	}
	if left = sendTimeout - time.Since(c.mu.since); left < 0 {
		c.mu.over = &inference.SlowReaderError{}
		return 0, c.mu.over
	}
	return left + time.Millisecond, nil // then it is more
}

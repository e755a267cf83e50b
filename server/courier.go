package server

import (
	"context"
	"errors"
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
// blocked by flow control: nothing but the handler's return unblocks that. No Send begins after dismiss, and one that
// is under way then ends when the handler returns, because gRPC ends the stream's context.
type courier struct {
	ctx     context.Context //nolint:containedctx // lives as long as the one call that it belongs to
	stalled <-chan struct{}
	events  chan *sluicev1.GenerateStreamResponse
	sent    chan error // with a place, so that the goroutine ends when nobody waits any more
	timeout *time.Timer
}

func newCourier(ctx context.Context, send func(*sluicev1.GenerateStreamResponse) error, stalled <-chan struct{}) *courier {
	c := &courier{
		ctx:     ctx,
		stalled: stalled,
		events:  make(chan *sluicev1.GenerateStreamResponse),
		sent:    make(chan error, 1),
		timeout: time.NewTimer(sendTimeout),
	}
	go func() {
		for event := range c.events {
			c.sent <- send(event)
		}
	}()
	return c
}

// send hands over one event and waits until it is sent, or until that is hopeless; after an error it must not be
// called again.
func (c *courier) send(event *sluicev1.GenerateStreamResponse) error {
	c.events <- event
	c.timeout.Reset(sendTimeout)
	select {
	case err := <-c.sent:
		return err
	case <-c.stalled:
		return errStalled
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	case <-c.timeout.C:
		return &inference.SlowReaderError{}
	}
}

// dismiss ends the courier.
func (c *courier) dismiss() {
	c.timeout.Stop()
	close(c.events)
}

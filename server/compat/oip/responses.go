package oip

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/internal/panics"
	oippb "github.com/sluiceml/sluice/proto/inference"
)

// responses sends the responses of several requests on one stream, from a goroutine of its own: a Send that is blocked by
// flow control ends only when the handler returns, so nobody else may wait for one longer than for its own context.
type responses struct {
	stream grpc.BidiStreamingServer[oippb.ModelInferRequest, oippb.ModelStreamInferResponse] // sending: write's
	queue  chan delivery
}

// delivery is a response to be sent and where to say how that went.
type delivery struct {
	ctx      context.Context //nolint:containedctx // lives as long as the send that it belongs to
	response *oippb.ModelStreamInferResponse
	sent     chan<- error // has a place
}

func newResponses(stream grpc.BidiStreamingServer[oippb.ModelInferRequest, oippb.ModelStreamInferResponse]) *responses {
	return &responses{stream: stream, queue: make(chan delivery)}
}

// send has a response sent and waits for that, or for the end of ctx, whose cause it returns then. Responses whose ctx had
// ended when their turn came are not sent.
func (r *responses) send(ctx context.Context, response *oippb.ModelStreamInferResponse) error {
	sent := make(chan error, 1)
	select {
	case r.queue <- delivery{ctx: ctx, response: response, sent: sent}:
	case <-ctx.Done():
		return context.Cause(ctx) //nolint:wrapcheck // the context's
	}
	select {
	case err := <-sent:
		return err
	case <-ctx.Done():
		return context.Cause(ctx) //nolint:wrapcheck // the context's
	}
}

// write sends what comes until ctx ends, which all of send's must end with. A Send that takes longer than timeout is given
// up by slow, which must end ctx. That Send is still under way when write's caller returns from the handler, and ends with
// the stream.
func (r *responses) write(ctx context.Context, timeout time.Duration, slow func(error)) {
	watch := time.AfterFunc(timeout, func() { slow(&inference.SlowReaderError{}) })
	defer watch.Stop()
	for {
		watch.Stop()
		select {
		case next := <-r.queue:
			if next.ctx.Err() != nil {
				continue
			}
			watch.Reset(timeout)
			next.sent <- panics.Catch(func() error { return r.stream.Send(next.response) })
		case <-ctx.Done():
			return
		}
	}
}

package gateway

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// generateAll runs requests to their ends. The first that fails ends the others.
func (g *Gateway) generateAll(ctx context.Context, requests []*sluicev1.GenerateRequest) ([]*sluicev1.GenerateResponse, error) {
	answers := make([]*sluicev1.GenerateResponse, len(requests))
	group, ctx := errgroup.WithContext(ctx)
	for i, request := range requests {
		group.Go(func() (err error) {
			answers[i], err = g.inference.Generate(ctx, request)
			return err
		})
	}
	return answers, group.Wait() //nolint:wrapcheck // a status
}

// joined are the events of several streams, as they come.
type joined struct {
	model  string // of the first
	events chan joinedEvent
	wait   func() error // for the streams to end, once events is closed
}

type joinedEvent struct {
	request int // which one's
	event   *sluicev1.GenerateStreamResponse
}

// streamAll starts requests and returns once all are admitted; if one is refused, all are called off. The caller reads
// the events to their end or ends ctx.
func (g *Gateway) streamAll(ctx context.Context, requests []*sluicev1.GenerateRequest) (*joined, error) {
	group, ctx := errgroup.WithContext(ctx)
	out := &joined{events: make(chan joinedEvent), wait: group.Wait}
	streams := make([]grpc.ServerStreamingClient[sluicev1.GenerateStreamResponse], len(requests))
	ctx, cancel := context.WithCancel(ctx)
	for i, request := range requests {
		var err error
		if streams[i], err = g.inference.GenerateStream(ctx, request); err != nil {
			cancel()
			return nil, err //nolint:wrapcheck // a status
		}
	}
	for i, stream := range streams {
		event, err := stream.Recv()
		if err != nil {
			cancel()
			return nil, err //nolint:wrapcheck // a status
		}
		if i == 0 {
			out.model = event.GetStarted().GetModel()
		}
	}
	for i, stream := range streams {
		group.Go(func() error { return forwardEvents(ctx, i, stream, out.events) })
	}
	go func() {
		defer cancel()
		_ = group.Wait() // its error is wait's
		close(out.events)
	}()
	return out, nil
}

// forwardEvents reads a stream to its end.
func forwardEvents(
	ctx context.Context, request int, stream grpc.ServerStreamingClient[sluicev1.GenerateStreamResponse], to chan<- joinedEvent,
) error {
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // a status
		}
		select {
		case to <- joinedEvent{request: request, event: event}:
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // the client went away
		}
	}
}

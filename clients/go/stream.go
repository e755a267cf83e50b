package sluice

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// Stream is one answer as it comes. Ranging over [Stream.Deltas] or [Stream.Events] starts the call, so a Stream that
// is never ranged over costs nothing; it can be ranged over once. Leaving the loop early cancels the call, and an
// error ends the loop. Not safe for concurrent use.
type Stream struct {
	// ctx is kept because the call begins with the loop, not with Client.Stream.
	ctx  context.Context //nolint:containedctx // see above
	open func(context.Context) (grpc.ServerStreamingClient[sluicev1.GenerateStreamResponse], error)
	used bool

	started  *sluicev1.Started
	prompt   []*sluicev1.TokenLogprobs
	finished []*sluicev1.Finished
	summary  *sluicev1.Summary
}

// Stream prepares a request whose answer is read while it is generated:
//
//	stream := client.Stream(ctx, req)
//	for delta, err := range stream.Deltas() {
//		…
//	}
//	usage := stream.Summary().GetUsage()
func (c *Client) Stream(ctx context.Context, req *sluicev1.GenerateRequest, opts ...grpc.CallOption) *Stream {
	return &Stream{
		ctx: ctx,
		open: func(ctx context.Context) (grpc.ServerStreamingClient[sluicev1.GenerateStreamResponse], error) {
			return c.inference.GenerateStream(ctx, req, opts...)
		},
	}
}

// Deltas yields the text of the answer piece by piece. The pieces of one output concatenate to exactly the text that
// [Client.Generate] returns, and none splits a UTF-8 character. A failure is an [*Error], yielded last with a nil
// delta.
func (s *Stream) Deltas() iter.Seq2[*sluicev1.Delta, error] {
	return func(yield func(*sluicev1.Delta, error) bool) {
		for event, err := range s.Events() {
			if err != nil {
				yield(nil, err)
				return
			}
			if delta := event.GetDelta(); delta != nil && !yield(delta, nil) {
				return
			}
		}
	}
}

// Events yields every event of the stream: started, parts of the prompt, deltas, finished, summary. Events that this
// version of the package does not know are left out. A failure is an [*Error], yielded last with a nil event.
func (s *Stream) Events() iter.Seq2[*sluicev1.GenerateStreamResponse, error] {
	return func(yield func(*sluicev1.GenerateStreamResponse, error) bool) {
		if s.used {
			yield(nil, newError(status.Error(codes.FailedPrecondition, "the stream was read already")))
			return
		}
		s.used = true
		ctx, cancel := context.WithCancel(s.ctx)
		defer cancel()
		call, err := s.open(ctx)
		if err != nil {
			yield(nil, newError(err))
			return
		}
		for {
			event, err := call.Recv()
			switch {
			case errors.Is(err, io.EOF) && s.summary != nil:
				return
			case errors.Is(err, io.EOF):
				yield(nil, newError(status.Error(codes.Internal, "the stream ended without its summary")))
				return
			case err != nil:
				yield(nil, newError(err))
				return
			}
			if s.note(event) && !yield(event, nil) {
				return
			}
		}
	}
}

// note keeps what the accessors return and reports whether the event is a known one.
func (s *Stream) note(event *sluicev1.GenerateStreamResponse) bool {
	switch e := event.GetEvent().(type) {
	case *sluicev1.GenerateStreamResponse_Started:
		s.started = e.Started
	case *sluicev1.GenerateStreamResponse_Prompt:
		s.prompt = append(s.prompt, e.Prompt.GetLogprobs()...)
	case *sluicev1.GenerateStreamResponse_Delta:
	case *sluicev1.GenerateStreamResponse_Finished:
		s.finished = append(s.finished, e.Finished)
	case *sluicev1.GenerateStreamResponse_Summary:
		s.summary = e.Summary
	default:
		return false
	}
	return true
}

// Started returns the request's id and the model's name: nil until the request is admitted.
func (s *Stream) Started() *sluicev1.Started { return s.started }

// PromptLogprobs are what the model thought of the prompt's tokens, if output.prompt_logprobs was set: complete from the
// first delta on.
func (s *Stream) PromptLogprobs() []*sluicev1.TokenLogprobs { return s.prompt }

// Finished says of each output that has ended why it did, in the order of their ends.
func (s *Stream) Finished() []*sluicev1.Finished { return s.finished }

// Summary returns usage and timings: nil unless the stream was read to its end. The getters of a nil message return
// zero values.
func (s *Stream) Summary() *sluicev1.Summary { return s.summary }

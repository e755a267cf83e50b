// Package local lets the foreign protocols call the native services within the process, without a connection.
package local

import (
	"context"

	"google.golang.org/grpc"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// NewStream is a stream whose events go to a function. It has nothing of a transport: no metadata are read or sent.
func NewStream(
	ctx context.Context, send func(*sluicev1.GenerateStreamResponse) error,
) grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse] {
	return &stream{ctx: ctx, send: send}
}

type stream struct {
	grpc.ServerStream // nil: nobody may call the rest

	ctx  context.Context //nolint:containedctx // a stream has one
	send func(*sluicev1.GenerateStreamResponse) error
}

// Context implements grpc.ServerStream.
func (s *stream) Context() context.Context { return s.ctx }

// Send implements grpc.ServerStreamingServer.
func (s *stream) Send(event *sluicev1.GenerateStreamResponse) error { return s.send(event) }

package interceptor

import (
	"context"
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	grpccodes "google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/server/status"
)

// errorMap turns the errors of handlers into statuses, with the trailer that goes with one, and logs those that are bugs in
// full. It logs with the call's context, so that a log handler that adds trace ids names the trace that the client was told.
type errorMap struct {
	logger *slog.Logger
	panics panicCounter
}

// panicked is the error of a panic that was caught, here or in a package below, which keeps where it was.
type panicked interface {
	error
	Stack() []byte
}

func (m errorMap) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	resp, err := next(ctx, req)
	if err != nil {
		st := m.convert(ctx, info.FullMethod, err)
		if trailer := status.Pushback(st); trailer != nil {
			_ = grpc.SetTrailer(ctx, trailer) // fails for what is no call of gRPC's, which has no trailer
		}
		return nil, st.Err()
	}
	return resp, nil
}

func (m errorMap) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := next(srv, ss); err != nil {
		st := m.convert(ss.Context(), info.FullMethod, err)
		ss.SetTrailer(status.Pushback(st))
		return st.Err()
	}
	return nil
}

func (m errorMap) convert(ctx context.Context, method string, err error) *grpcstatus.Status {
	st := status.Of(ctx, err)
	if st.Code() != grpccodes.Internal {
		return st
	}
	span := trace.SpanFromContext(ctx)
	span.RecordError(err)
	span.SetStatus(codes.Error, "internal error")
	attrs := []slog.Attr{slog.String("grpc.full_method", method)}
	attrs = append(attrs, slog.Any("error", err))
	if caught, ok := errors.AsType[panicked](err); ok {
		m.panics.counter.Add(ctx, 1)
		attrs = append(attrs, slog.String("stack", string(caught.Stack())))
	}
	m.logger.LogAttrs(ctx, slog.LevelError, "internal error", attrs...)
	return st
}

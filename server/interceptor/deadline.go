package interceptor

import (
	"context"
	"time"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2"
	"google.golang.org/grpc"
)

// deadline bounds how long a call may take. A call without a deadline of its own, or with a later one, ends at the
// bound with DEADLINE_EXCEEDED, so that a client that forgot one cannot hold a slot for ever.
type deadline struct {
	max  time.Duration // 0: no bound
	skip func(method string) bool
}

func (d deadline) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if d.max <= 0 || d.skip(info.FullMethod) {
		return next(ctx, req)
	}
	ctx, cancel := context.WithTimeout(ctx, d.max)
	defer cancel()
	return next(ctx, req)
}

func (d deadline) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if d.max <= 0 || d.skip(info.FullMethod) {
		return next(srv, ss)
	}
	ctx, cancel := context.WithTimeout(ss.Context(), d.max)
	defer cancel()
	return next(srv, &middleware.WrappedServerStream{ServerStream: ss, WrappedContext: ctx})
}

package interceptor

import (
	"context"
	"sync/atomic"
	"time"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2"
	"google.golang.org/grpc"
)

// headStart is how long before its caller's deadline a call ends, or a tenth of the time it has if that is less. At the
// deadline gRPC resets the stream by itself, without a status; a proxy between makes INTERNAL of that.
const headStart = 20 * time.Millisecond

// deadline bounds how long a call may take. A call without a deadline of its own, or with a later one, ends at the
// bound with DEADLINE_EXCEEDED, so that a client that forgot one cannot hold a slot for ever.
type deadline struct {
	max  *atomic.Int64 // a time.Duration; 0: no bound
	skip func(method string) bool
}

func (d deadline) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if d.skip(info.FullMethod) {
		return next(ctx, req)
	}
	ctx, cancel := d.bound(ctx)
	defer cancel()
	return next(ctx, req)
}

func (d deadline) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if d.skip(info.FullMethod) {
		return next(srv, ss)
	}
	ctx, cancel := d.bound(ss.Context())
	defer cancel()
	return next(srv, &middleware.WrappedServerStream{ServerStream: ss, WrappedContext: ctx})
}

// bound is the call's context with its end: the caller's deadline, so much earlier that the status still arrives, or the
// server's bound if that comes first.
func (d deadline) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if ok {
		end = end.Add(-min(headStart, max(0, time.Until(end)/10)))
	}
	if most := time.Duration(d.max.Load()); most > 0 {
		if latest := time.Now().Add(most); !ok || latest.Before(end) {
			end, ok = latest, true
		}
	}
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, end)
}

package interceptor

import (
	"context"
	"time"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2"
	"google.golang.org/grpc"

	"github.com/sluiceml/sluice/server/auth"
)

// arrival bounds how long a request message may take to come in. A call that sends its message a byte at a time would
// otherwise hold a goroutine and a part of its message for as long as it likes: a deadline is the client's to choose, and
// an interceptor of a unary call runs only once the message is there.
type arrival struct {
	timer *time.Timer // ends the call's context
}

type arrivalKey struct{}

// expectMessage returns a context that ends unless arrived is called with it in time. The end of the call's own context
// ends it too, so that it needs no cancelling.
func expectMessage(ctx context.Context, guard *auth.Guard, within time.Duration) context.Context {
	ctx, cancel := context.WithCancel(ctx) //nolint:gosec // as above
	a := &arrival{timer: time.AfterFunc(within, func() {
		if ctx.Err() == nil {
			guard.Refuse(ctx, auth.ReasonSlowMessage)
		}
		cancel()
	})}
	return context.WithValue(ctx, arrivalKey{}, a)
}

// arrived says that the message of a call is in.
func arrived(ctx context.Context) {
	if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok {
		a.timer.Stop()
	}
}

// arrivalUnary runs once the message is there.
func arrivalUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	arrived(ctx)
	return next(ctx, req)
}

// arrivalStream waits for the first message of a stream, which its handler takes.
func arrivalStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(srv, &arrivingStream{&middleware.WrappedServerStream{ServerStream: ss, WrappedContext: ss.Context()}})
}

type arrivingStream struct {
	*middleware.WrappedServerStream
}

// RecvMsg implements grpc.ServerStream.
func (s *arrivingStream) RecvMsg(m any) error {
	err := s.WrappedServerStream.RecvMsg(m)
	arrived(s.Context())
	return err
}

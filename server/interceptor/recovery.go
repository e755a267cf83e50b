package interceptor

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"go.opentelemetry.io/otel/metric"
)

// panicCounter counts the panics of handlers; any is a bug.
type panicCounter struct{ counter metric.Int64Counter }

func newPanicCounter(provider metric.MeterProvider) (panicCounter, error) {
	counter, err := provider.Meter("github.com/sluiceml/sluice/server").Int64Counter("sluice.server.panics",
		metric.WithDescription("Calls that ended in a panic of the server."), metric.WithUnit("{panic}"))
	if err != nil {
		return panicCounter{}, fmt.Errorf("panic counter: %w", err)
	}
	counter.Add(context.Background(), 0) // present from the start
	return panicCounter{counter: counter}, nil
}

// newRecovery makes the interceptor that turns a panic into an error, which the error map logs and hides.
func newRecovery(panics panicCounter) pair {
	handler := recovery.WithRecoveryHandlerContext(func(ctx context.Context, p any) error {
		panics.counter.Add(ctx, 1)
		return &recovery.PanicError{Panic: p, Stack: debug.Stack()}
	})
	return pair{
		unary:  recovery.UnaryServerInterceptor(handler),
		stream: recovery.StreamServerInterceptor(handler),
	}
}

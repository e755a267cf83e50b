package interceptor

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"go.opentelemetry.io/otel/metric"
)

// panicCounter counts the calls that ended in a panic, of the handler or of what it called; any is a bug.
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

// panicError is a panic of a handler.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// Stack is the stack of the panic.
func (e *panicError) Stack() []byte { return e.stack }

// rescued runs f and makes a panic of it an error.
func rescued(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return f(ctx)
}

// newRecovery makes the interceptor that turns a panic into an error, which the error map logs and hides.
func newRecovery() pair {
	handler := recovery.WithRecoveryHandlerContext(func(_ context.Context, p any) error {
		return &panicError{value: p, stack: debug.Stack()}
	})
	return pair{
		unary:  recovery.UnaryServerInterceptor(handler),
		stream: recovery.StreamServerInterceptor(handler),
	}
}

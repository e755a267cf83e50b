package interceptor

import (
	"context"
	"fmt"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluiceml/sluice/internal/panics"
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

// newRecovery makes the interceptor that turns a panic into an error, which the error map logs and hides.
func newRecovery() pair {
	handler := recovery.WithRecoveryHandlerContext(func(_ context.Context, p any) error {
		return panics.New(p)
	})
	return pair{
		unary:  recovery.UnaryServerInterceptor(handler),
		stream: recovery.StreamServerInterceptor(handler),
	}
}

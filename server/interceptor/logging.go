package interceptor

import (
	"context"
	"log/slog"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
)

// newLogging makes the interceptor that writes one line per finished call: method, code, message, duration, peer.
// Requests and answers are never in it; a status message names fields and never repeats their texts.
func newLogging(logger *slog.Logger, skip func(method string) bool) pair {
	sink := logging.LoggerFunc(func(ctx context.Context, level logging.Level, message string, fields ...any) {
		logger.Log(ctx, slog.Level(level), message, fields...)
	})
	options := []logging.Option{
		logging.WithLogOnEvents(logging.FinishCall),
		logging.WithDurationField(func(d time.Duration) logging.Fields { return logging.Fields{"grpc.duration", d} }),
	}
	match := selector.MatchFunc(func(_ context.Context, call interceptors.CallMeta) bool {
		return !skip(call.FullMethod())
	})
	return pair{
		unary:  selector.UnaryServerInterceptor(logging.UnaryServerInterceptor(sink, options...), match),
		stream: selector.StreamServerInterceptor(logging.StreamServerInterceptor(sink, options...), match),
	}
}

package interceptor

import (
	"context"
	"log/slog"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
	"google.golang.org/grpc/codes"
)

// refusalLines is how many lines a second the calls write that are refused for want of room or quota. Under overload they
// are most of all calls, and refusing must cost little.
const refusalLines = 10

// notLogged is the attribute of a line that counts the calls before it that wrote none.
const notLogged = "refusals_not_logged"

// newLogging makes the interceptor that writes one line per finished call: method, code, message, duration, peer.
// Requests and answers are never in it; a status message names fields and never repeats their texts. Of calls that are
// refused with RESOURCE_EXHAUSTED it writes no more than refusalLines a second.
func newLogging(logger *slog.Logger, skip func(method string) bool) pair {
	refusals := &sparse{perSecond: refusalLines}
	sink := logging.LoggerFunc(func(ctx context.Context, level logging.Level, message string, fields ...any) {
		if isExhausted(fields) {
			skipped, ok := refusals.allow()
			if !ok {
				return
			}
			if skipped > 0 {
				fields = append(fields, notLogged, skipped)
			}
		}
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

// isExhausted says whether the fields of a line are those of a call that ended with RESOURCE_EXHAUSTED.
func isExhausted(fields []any) bool {
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "grpc.code" {
			return fields[i+1] == codes.ResourceExhausted.String()
		}
	}
	return false
}

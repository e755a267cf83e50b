package interceptor

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/handshake"
	sluicestatus "github.com/sluiceml/sluice/server/status"
)

// authorization checks each call against the guard, in two places. Who calls which method is decided in the tap, from
// the headers, before gRPC makes a stream and takes in a message of up to 16 MiB: an interceptor of a unary call only
// runs after that. The interceptor makes sure that the tap has run, takes the request from the caller's quota, and names
// the caller in the line of the call.
type authorization struct {
	skip func(method string) bool // takes nothing from a quota
}

// Tap returns the tap that checks calls by their headers. A call that it refuses reaches no interceptor, so that the tap
// logs it itself.
//
// The request message of a call must be in within a time, unless its method is one of a patient stream.
func Tap(guard *auth.Guard, logger *slog.Logger, within time.Duration, patient func(method string) bool) tap.ServerInHandle {
	log := NewRefusalLog(logger)
	return func(ctx context.Context, call *tap.Info) (context.Context, error) {
		connection := handshake.FromContext(ctx)
		ctx = connection.WithCaller(ctx, call.Header.Get)
		principal, err := guard.Check(ctx, auth.Call{
			Method:   call.FullMethodName,
			Header:   call.Header.Get,
			Identity: connection.Identity(call.Header.Get),
		})
		if err != nil {
			connection.Refused(ctx)
			log.Refused(ctx, call.FullMethodName, caller(ctx), err)
			return ctx, sluicestatus.Of(ctx, err).Err()
		}
		ctx = auth.NewContext(ctx, principal)
		if patient(call.FullMethodName) {
			return ctx, nil
		}
		return expectMessage(ctx, guard, within), nil
	}
}

// errNoPrincipal is a call that the tap has not seen, which must not be possible.
var errNoPrincipal = errors.New("a call reached its handler without having been checked")

func (a authorization) enter(ctx context.Context, method string) error {
	principal := auth.FromContext(ctx)
	if principal == nil {
		return errNoPrincipal
	}
	if principal.Name() != "" {
		logging.AddFields(ctx, logging.Fields{"client", principal.Name(), "tenant", principal.Tenant()})
	}
	if a.skip(method) {
		return nil
	}
	return principal.TakeRequest(ctx)
}

func (a authorization) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := a.enter(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (a authorization) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := a.enter(ss.Context(), info.FullMethod); err != nil {
		return err
	}
	return next(srv, ss)
}

// Unknown returns the handler of methods that nobody serves, which counts them: reflection when it is off, and guesses.
func Unknown(guard *auth.Guard) grpc.StreamHandler {
	return func(_ any, ss grpc.ServerStream) error {
		guard.Refuse(ss.Context(), auth.ReasonUnknownMethod)
		method, _ := grpc.MethodFromServerStream(ss)
		return status.Errorf(codes.Unimplemented, "unknown method %s", method)
	}
}

// RefusalLog tells of calls that are refused before they have a line of their own: at most one a second, so that an attack does
// not fill the log. It is safe for concurrent use.
type RefusalLog struct {
	logger *slog.Logger
	lines  sparse
}

// NewRefusalLog makes a log.
func NewRefusalLog(logger *slog.Logger) *RefusalLog {
	return &RefusalLog{logger: logger, lines: sparse{perSecond: 1}}
}

// Refused tells that a call of a method, as in "/package.Service/Method", was refused with err; from is the caller's address,
// "" if it is not known.
func (l *RefusalLog) Refused(ctx context.Context, method, from string, err error) {
	skipped, ok := l.lines.allow()
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("grpc.full_method", method), slog.String("error", err.Error())}
	if from != "" {
		attrs = append(attrs, slog.String("peer.address", from))
	}
	if skipped > 0 {
		attrs = append(attrs, slog.Int(notLogged, skipped))
	}
	l.logger.LogAttrs(ctx, slog.LevelWarn, "refused a call", attrs...)
}

// caller is the address of a call's peer.
func caller(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return ""
}

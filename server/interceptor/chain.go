// Package interceptor holds the interceptors that every call of the server passes through, in one declared order:
//
//	logging → deadline → errors → recovery → authorization → (the server's own) → handler
//
// Before them all, the tap has checked the call's headers. Logging is outermost and sees the status that the client gets. The
// deadline lies outside the error map, so that its end reads as the call's own. The error map turns Sluice's errors into
// statuses and logs what is a bug. Recovery lies inside: a panic becomes an error that the map treats as a bug.
package interceptor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"

	"github.com/sluiceml/sluice/internal/panics"
	"github.com/sluiceml/sluice/server/auth"
)

// Config describes a chain.
type Config struct {
	// Logger takes a line per call and the faults, each in the call's context, whose trace its handler should name.
	// Required.
	Logger *slog.Logger
	// MeterProvider counts panics. Required.
	MeterProvider metric.MeterProvider
	// MaxDuration bounds a call of an inference method, whatever deadline it came with. 0: no bound.
	MaxDuration time.Duration
	// Infrastructure says whether a method (as in "/grpc.health.v1.Health/Check") belongs to the machinery around the
	// service: probes and watches, which are not logged and have no bound. Nil: none does.
	Infrastructure func(method string) bool
	// Guard holds the quotas of calls that its Tap has let in. Nil: every call may enter.
	Guard *auth.Guard
}

// Chain is the interceptors of unary and of streaming calls, each outermost first.
type Chain struct {
	Unary  []grpc.UnaryServerInterceptor
	Stream []grpc.StreamServerInterceptor

	statuses    errorMap
	maxDuration *atomic.Int64 // a time.Duration
}

// Run runs a part of a call as if it were one: a panic is an error, the error is a status, and a bug is in the log.
func (c Chain) Run(ctx context.Context, method string, f func(context.Context) error) error {
	if err := panics.Catch(func() error { return f(ctx) }); err != nil {
		return c.statuses.convert(ctx, method, err).Err()
	}
	return nil
}

// SetMaxDuration replaces Config.MaxDuration for calls to come.
func (c Chain) SetMaxDuration(most time.Duration) { c.maxDuration.Store(int64(most)) }

// New makes the chain.
func New(config Config) (Chain, error) {
	if config.Infrastructure == nil {
		config.Infrastructure = func(string) bool { return false }
	}
	panics, err := newPanicCounter(config.MeterProvider)
	if err != nil {
		return Chain{}, fmt.Errorf("interceptors: %w", err)
	}
	var (
		logs     = newLogging(config.Logger, config.Infrastructure)
		bound    = deadline{max: new(atomic.Int64), skip: config.Infrastructure}
		statuses = errorMap{logger: config.Logger, panics: panics}
		rescue   = newRecovery()
	)
	chain := Chain{
		Unary:       []grpc.UnaryServerInterceptor{logs.unary, bound.unary, statuses.unary, rescue.unary},
		Stream:      []grpc.StreamServerInterceptor{logs.stream, bound.stream, statuses.stream, rescue.stream},
		statuses:    statuses,
		maxDuration: bound.max,
	}
	chain.SetMaxDuration(config.MaxDuration)
	if config.Guard != nil {
		rights := authorization{skip: config.Infrastructure}
		chain.Unary = slices.Insert(chain.Unary, 0, arrivalUnary)
		chain.Stream = slices.Insert(chain.Stream, 0, arrivalStream)
		chain.Unary, chain.Stream = append(chain.Unary, rights.unary), append(chain.Stream, rights.stream)
	}
	return chain, nil
}

// pair is one interceptor in both of its forms.
type pair struct {
	unary  grpc.UnaryServerInterceptor
	stream grpc.StreamServerInterceptor
}

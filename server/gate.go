package server

import (
	"context"
	"sync"
	"time"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2"
	"google.golang.org/grpc"

	"github.com/sluiceml/sluice/inference"
)

// gate counts the calls that do work and, once shut, refuses new ones. It is how a drain knows that nothing runs any
// more: GracefulStop alone would also wait for health watches, which never end.
type gate struct {
	retry time.Duration // what a refused client is told to wait

	mu     sync.Mutex
	shut   bool          // guarded by mu
	inside int           // guarded by mu: calls that have entered and not left
	empty  chan struct{} // closed when the gate is shut and the last call has left

	watches context.Context    //nolint:containedctx // ends the calls that only watch
	end     context.CancelFunc // ends watches
}

func newGate(retry time.Duration) *gate {
	watches, end := context.WithCancel(context.Background())
	return &gate{retry: retry, empty: make(chan struct{}), watches: watches, end: end}
}

// enter lets a call in, or refuses it with an *inference.UnavailableError.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return &inference.UnavailableError{Reason: inference.ReasonDraining, RetryAfter: g.retry}
	}
	g.inside++
	return nil
}

// leave ends a call that has entered.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.shut && g.inside == 0 {
		close(g.empty)
	}
}

// close shuts the gate and returns a channel that is closed when the last call has left. It may be called again.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		g.shut = true
		if g.inside == 0 {
			close(g.empty)
		}
	}
	return g.empty
}

func (g *gate) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if infrastructure(info.FullMethod) {
		return next(ctx, req)
	}
	if err := g.enter(); err != nil {
		return nil, err
	}
	defer g.leave()
	return next(ctx, req)
}

func (g *gate) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if infrastructure(info.FullMethod) || idles(info.FullMethod) {
		return g.watch(srv, ss, next)
	}
	if err := g.enter(); err != nil {
		return err
	}
	defer g.leave()
	return next(srv, ss)
}

// watch runs a call of the machinery, which ends when the server does: it is then told so, and not that it was cancelled.
func (g *gate) watch(srv any, ss grpc.ServerStream, next grpc.StreamHandler) error {
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	defer context.AfterFunc(g.watches, cancel)()
	err := next(srv, &middleware.WrappedServerStream{ServerStream: ss, WrappedContext: ctx})
	if err != nil && g.watches.Err() != nil && ss.Context().Err() == nil {
		return &inference.UnavailableError{Reason: inference.ReasonDraining, RetryAfter: g.retry}
	}
	return err
}

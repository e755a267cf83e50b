package server

import (
	"context"
	"fmt"
	"time"
)

// lingerTimeout bounds what is left of a shutdown once all work is done.
const lingerTimeout = time.Second

// Shutdown stops the server without breaking a call, in order: report NOT_SERVING; keep taking calls for DrainDelay;
// refuse new ones with UNAVAILABLE; wait for those that run; close the connections. When ctx ends first, the calls
// that still run are cut off and the error is ctx's. In either case no handler runs when it returns.
func (s *Server) Shutdown(ctx context.Context) error {
	s.health.down()
	if wait := time.Duration(s.drainDelay.Load()); wait > 0 {
		delay := time.NewTimer(wait)
		defer delay.Stop()
		select {
		case <-delay.C:
		case <-ctx.Done():
		}
	}
	var cut error
	select {
	case <-s.gate.close():
	case <-ctx.Done():
		cut = fmt.Errorf("shutdown: calls were cut off: %w", context.Cause(ctx))
	}
	s.gate.end()
	if cut == nil {
		s.flush(ctx)
	}
	s.grpc.Stop()
	return cut
}

// SetDrainDelay replaces Config.DrainDelay for a Shutdown to come.
func (s *Server) SetDrainDelay(delay time.Duration) { s.drainDelay.Store(int64(delay)) }

// flush lets the connections send what they hold. All real work is done by now; what can still be open are streams
// that wait for their clients (reflection), which are not worth more than a moment.
func (s *Server) flush(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	linger := time.NewTimer(lingerTimeout)
	defer linger.Stop()
	select {
	case <-done:
	case <-linger.C:
	case <-ctx.Done():
	}
	s.grpc.Stop() // ends a GracefulStop that still waits
	<-done
}

// Stop closes every connection at once and waits for the handlers.
func (s *Server) Stop() {
	s.health.down()
	s.gate.close()
	s.gate.end()
	s.grpc.Stop()
}

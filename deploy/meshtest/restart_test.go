//go:build mesh

package meshtest_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
)

// Both servers are restarted one after the other, under load of streams, twice, and no call fails.
func TestRollingRestart(t *testing.T) {
	backends := []*backend{newBackend(t), newBackend(t)}
	envoy := startEnvoy(t, 2, backends[0].port, backends[1].port)
	want, _, err := tell(t.Context(), connect(t, envoy.port, nil), story(24), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var calls atomic.Int64
	for range 6 {
		conn := connect(t, envoy.port, nil)
		clients.Go(func() {
			for ctx.Err() == nil {
				text, _, err := tell(t.Context(), conn, story(24), nil)
				if err != nil || text != want {
					t.Errorf("call %d: %v, %q", calls.Load(), err, text)
					return
				}
				calls.Add(1)
			}
		})
	}
	passed := func(n int64) func() bool {
		least := calls.Load() + n
		return func() bool { return calls.Load() >= least || t.Failed() }
	}
	for range 2 {
		for _, b := range backends {
			wait(t, "calls", passed(10), envoy.log)
			b.stop()
			envoy.waitHealthy(t, 1)
			wait(t, "calls", passed(10), envoy.log)
			b.start()
			envoy.waitHealthy(t, 2)
		}
	}
	stop()
	clients.Wait()
	t.Logf("%d streams, 4 restarts, %d retries by Envoy", calls.Load(), envoy.stat(t, "upstream_rq_retry"))
}

//go:build cgo

package server_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/servertest"
)

// fault is what happens to a session's next step.
type fault int32

const (
	none fault = iota
	fails
	panics
)

// faulty is a session whose steps can be made to go wrong: nothing in the server can do that, only this wrapper.
type faulty struct {
	runner.Session
	next  *atomic.Int32 // a fault
	steps *atomic.Int32 // that have run
}

func (f faulty) Step(step runner.Step) (runner.Logits, error) {
	f.steps.Add(1)
	switch fault(f.next.Swap(int32(none))) {
	case fails:
		return runner.Logits{}, errors.New("injected: out of memory")
	case panics:
		panic("injected: a bug")
	case none:
	}
	return f.Session.Step(step)
}

// TestRealReplicaCrashes breaks one of two replicas of the default model under load, by an error and by a panic. Its requests
// end with INTERNAL, under a trace that the log has; those of the other replica get the tokens that they get alone; the server
// stays SERVING; and the replica comes back and gives the same tokens again.
func TestRealReplicaCrashes(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the real model; run without -short")
	}
	const replicas, victim = 2, 1
	var next, steps [replicas]atomic.Int32
	events := make(chan inference.ReplicaEvent, 16)
	device := ort.Device{Provider: ort.CPU, Threads: 1}
	model := realReplicas(t, 4, []ort.Device{device, device}, func(i int, s runner.Session) runner.Session {
		return faulty{Session: s, next: &next[i], steps: &steps[i]}
	}, func(e inference.ReplicaEvent) { events <- e })
	i := servertest.Start(t, []*inference.Model{model}, func(c *server.Config) {
		c.TracerProvider = sdktrace.NewTracerProvider()
	})
	client := generator(i)

	requests := make([]*sluicev1.GenerateRequest, 8)
	want := make([]told, len(requests))
	for n := range requests {
		requests[n] = greedy(fmt.Sprintf("%d. A story about a river and %d boats:", n, n+2), 24)
		requests[n].Output = &sluicev1.OutputOptions{TokenIds: true}
		if n%2 == 1 {
			requests[n].Sampling.Temperature, requests[n].Sampling.Seed = new(float32(0.8)), new(uint64(n))
		}
		want[n] = mustStream(t, client, requests[n])
	}
	// load runs all requests twice at a time and returns how many ended with INTERNAL. Any other end, or other tokens, is
	// an error.
	load := func() int {
		var internal atomic.Int32
		var all sync.WaitGroup
		for range 2 {
			for n, in := range requests {
				all.Go(func() {
					got, err := stream(t.Context(), t, client, in)
					switch {
					case err == nil && slices.Equal(got.ids, want[n].ids) && got.text == want[n].text:
					case status.Code(err) == codes.Internal:
						internal.Add(1)
						_, id, found := strings.Cut(status.Convert(err).Message(), "under trace ")
						if !found || !strings.Contains(i.Log.String(), "trace_id="+id) {
							t.Errorf("request %d: the log lacks the trace of %v", n, err)
						}
						if len(got.ids) > len(want[n].ids) || !slices.Equal(got.ids, want[n].ids[:len(got.ids)]) {
							t.Errorf("request %d: before the crash it got %v, alone %v", n, got.ids, want[n].ids)
						}
					default:
						t.Errorf("request %d: %v, got %q, alone %q", n, err, got.text, want[n].text)
					}
				})
			}
		}
		all.Wait()
		return int(internal.Load())
	}

	for _, f := range []fault{fails, panics} {
		next[victim].Store(int32(f))
		internal := load()
		// Of 16 requests, half went to the replica that broke at its first step of this load; those that came later, to
		// the other.
		if internal == 0 || internal > len(requests) {
			t.Errorf("fault %d: %d requests ended with INTERNAL", f, internal)
		}
		t.Logf("fault %d: %d of %d requests ended with INTERNAL", f, internal, 2*len(requests))
		if failed := awaitEvent(t, events); failed.Err == nil || failed.RetryIn == 0 {
			t.Errorf("fault %d: %+v", f, failed)
		}
		if rebuilt := awaitEvent(t, events); rebuilt.Err != nil {
			t.Errorf("fault %d: %+v", f, rebuilt)
		}
		if got := check(t, i, ""); got != serving {
			t.Errorf("fault %d: the server is %v", f, got)
		}
		before := steps[victim].Load()
		if internal := load(); internal != 0 {
			t.Errorf("fault %d: rebuilt, %d requests ended with INTERNAL", f, internal)
		}
		if ran := steps[victim].Load() - before; ran < 24 {
			t.Errorf("fault %d: the rebuilt replica ran %d steps", f, ran)
		}
	}
	idle(t, i)
	if strings.Contains(i.Log.String(), "boats") {
		t.Error("the log has a prompt")
	}
}

// awaitEvent is the next event.
func awaitEvent(t *testing.T, events <-chan inference.ReplicaEvent) inference.ReplicaEvent {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(time.Minute):
		t.Fatal("no event in a minute")
		return inference.ReplicaEvent{}
	}
}

package interceptor

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// A call ends a little before its caller's deadline, or at the server's bound.
func TestBound(t *testing.T) {
	t.Parallel()
	far := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(t.Context(), far)
	defer cancel()
	most := func(d time.Duration) deadline {
		bound := deadline{max: new(atomic.Int64)}
		bound.max.Store(int64(d))
		return bound
	}
	own, end := most(0).bound(ctx)
	defer end()
	if got, _ := own.Deadline(); !got.Equal(far.Add(-headStart)) {
		t.Errorf("the call ends %v before its caller's deadline, want %v", far.Sub(got), headStart)
	}
	bound, end := most(time.Minute).bound(ctx)
	defer end()
	if got, _ := bound.Deadline(); got.After(time.Now().Add(time.Minute)) {
		t.Errorf("the call ends at %v, after the bound", got)
	}
	soon := time.Now().Add(50 * time.Millisecond)
	short, cancel := context.WithDeadline(t.Context(), soon)
	defer cancel()
	own, end = most(time.Hour).bound(short)
	defer end()
	if got, _ := own.Deadline(); got.After(soon) || soon.Sub(got) > 5*time.Millisecond {
		t.Errorf("of a short call's time, %v is kept back", soon.Sub(got))
	}
	none, end := most(0).bound(t.Context())
	defer end()
	if _, ok := none.Deadline(); ok {
		t.Error("a call without a deadline got one")
	}
}

package interceptor

import (
	"context"
	"testing"
	"time"
)

// A call ends a little before its caller's deadline, or at the server's bound.
func TestBound(t *testing.T) {
	t.Parallel()
	far := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(t.Context(), far)
	defer cancel()
	own, end := deadline{}.bound(ctx)
	defer end()
	if got, _ := own.Deadline(); !got.Equal(far.Add(-headStart)) {
		t.Errorf("the call ends %v before its caller's deadline, want %v", far.Sub(got), headStart)
	}
	bound, end := deadline{max: time.Minute}.bound(ctx)
	defer end()
	if got, _ := bound.Deadline(); got.After(time.Now().Add(time.Minute)) {
		t.Errorf("the call ends at %v, after the bound", got)
	}
	soon := time.Now().Add(50 * time.Millisecond)
	short, cancel := context.WithDeadline(t.Context(), soon)
	defer cancel()
	own, end = deadline{max: time.Hour}.bound(short)
	defer end()
	if got, _ := own.Deadline(); got.After(soon) || soon.Sub(got) > 5*time.Millisecond {
		t.Errorf("of a short call's time, %v is kept back", soon.Sub(got))
	}
	none, end := deadline{}.bound(t.Context())
	defer end()
	if _, ok := none.Deadline(); ok {
		t.Error("a call without a deadline got one")
	}
}

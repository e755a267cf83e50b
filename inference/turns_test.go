package inference

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurns: no more at once than there are turns; the next waits for one to end, or for its context.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		two := make(turns, 2)
		for range 2 {
			if err := two.take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := two.take(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third: %v", err)
		}
		got := make(chan error)
		go func() { got <- two.take(t.Context()) }()
		synctest.Wait()
		two.give()
		if err := <-got; err != nil {
			t.Errorf("after one has ended: %v", err)
		}
	})
	if cap(newTurns()) < 1 {
		t.Error("no turn at all")
	}
}

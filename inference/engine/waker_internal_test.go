package engine

import (
	"slices"
	"testing"
	"testing/synctest"
)

// rung says of each of some readers whether it has been woken, and puts it to sleep again.
func rung(readers []*signals) []bool {
	woken := make([]bool, len(readers))
	for i, r := range readers {
		select {
		case <-r.ready:
			woken[i] = true
		default:
		}
	}
	return woken
}

func TestWaker(t *testing.T) {
	for _, tt := range []struct {
		name    string
		readers int
		begun   bool // the goroutine runs
		atOnce  bool // wake itself wakes them
	}{
		{"one is woken at once", 1, true, true},
		{"several are woken by the goroutine", 5, true, false},
		{"without the goroutine they are woken at once", 5, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w waker
				if tt.begun {
					w.begin()
					defer w.end()
					synctest.Wait()
				}
				readers := make([]*signals, tt.readers)
				for step := range 3 { // the memory of a step is used again
					for i := range readers {
						readers[i] = newSignals()
						w.add(readers[i])
					}
					if got := rung(readers); slices.Contains(got, true) {
						t.Fatalf("step %d: woken before the step's end: %v", step, got)
					}
					w.wake()
					if !tt.atOnce {
						synctest.Wait()
					}
					if got := rung(readers); slices.Contains(got, false) {
						t.Fatalf("step %d: woken: %v", step, got)
					}
					w.wake()
					synctest.Wait()
					if got := rung(readers); slices.Contains(got, true) {
						t.Fatalf("step %d: woken again: %v", step, got)
					}
				}
			})
		})
	}
}

// TestWakerLate: a goroutine that comes late wakes the readers of all steps until then, and the engine does not wait.
func TestWakerLate(t *testing.T) {
	w := waker{start: make(chan struct{}, 1), ended: make(chan struct{})}
	readers := make([]*signals, 6)
	for i := range readers {
		readers[i] = newSignals()
		w.add(readers[i])
		if i%2 == 1 {
			w.wake()
		}
	}
	go w.run()
	w.end()
	if got := rung(readers); slices.Contains(got, false) {
		t.Errorf("woken: %v", got)
	}
}

package engine

import (
	"testing"
	"time"
)

// TestTurn: the goroutine yields before a run that its slice would end in, and after no other.
func TestTurn(t *testing.T) {
	const ms = time.Millisecond
	began := time.Now()
	for _, test := range []struct {
		name       string
		took, held time.Duration // by the last run, and since the turn began
		over       bool
	}{
		{"the first short run", 2 * ms, 2 * ms, false},
		{"a few of them", 2 * ms, 7 * ms, false},
		{"the next one would outlast the slice", 2 * ms, 8 * ms, true},
		{"the last one did", 2 * ms, 11 * ms, true},
		{"two do not fit", 6 * ms, 6 * ms, true},
		{"a run as long as a slice", 10 * ms, 30 * ms, false},
	} {
		turn := turn{began: began}
		if got := turn.over(test.took, began.Add(test.held)); got != test.over {
			t.Errorf("%s: over %t", test.name, got)
		}
	}
	turn := turn{began: began.Add(-time.Hour)}
	if turn.yield(ms, time.Now()); !turn.began.After(began.Add(-time.Minute)) {
		t.Error("a turn that was over goes on")
	}
}

package bench

import (
	"math"
	"testing"
	"time"
)

func TestTimelineKeepsItsSumsWhateverTheLength(t *testing.T) {
	t.Parallel()
	for _, length := range []time.Duration{50 * time.Millisecond, time.Second, time.Minute, 26 * time.Hour} {
		line := newTimeline()
		step := length / 1000
		line.change(0, 1)
		line.change(length/4, 1) // a second request in the middle half
		for i := range 1000 {
			if at := time.Duration(i) * step; at == length*3/4 {
				line.change(at, -1)
			}
			line.tokens(time.Duration(i)*step, 3)
		}
		line.change(length, -1)
		moments := line.moments(length)
		if len(moments) == 0 || len(moments) > maxBins {
			t.Fatalf("%v: %d moments", length, len(moments))
		}
		tokens, busy := 0.0, 0.0
		for i, m := range moments {
			end := length.Seconds()
			if i+1 < len(moments) {
				end = moments[i+1].Start
			}
			tokens += m.Tokens * (end - m.Start)
			busy += m.InFlight * (end - m.Start)
			if m.InFlight > 2.0001 {
				t.Errorf("%v: %g requests in flight", length, m.InFlight)
			}
		}
		if math.Abs(tokens-3000) > 0.01 {
			t.Errorf("%v: %g tokens, want 3000", length, tokens)
		}
		if want := length.Seconds() * 1.5; math.Abs(busy/want-1) > 1e-6 {
			t.Errorf("%v: %g s of requests, want %g", length, busy, want)
		}
	}
}

func TestTimelineOfNothing(t *testing.T) {
	t.Parallel()
	if got := newTimeline().moments(0); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestTimelineTakesMomentsInAnyOrder(t *testing.T) {
	t.Parallel()
	line := newTimeline()
	line.change(time.Second, 1)
	line.change(time.Millisecond, 1) // a goroutine was slow to tell
	line.tokens(-time.Second, 1)
	line.change(2*time.Second, -2)
	busy := 0.0
	for _, m := range line.moments(2 * time.Second) {
		busy += m.InFlight * 0.1
	}
	if math.Abs(busy-2) > 1e-9 {
		t.Errorf("%g s of requests", busy)
	}
}

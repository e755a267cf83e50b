package bench

import (
	"math"
	"testing"
	"time"
)

func TestArrivals(t *testing.T) {
	t.Parallel()
	a, b, other := newArrivals(7, 50), newArrivals(7, 50), newArrivals(8, 50)
	const n = 20_000
	var last time.Duration
	same := 0
	var gaps, squares float64
	for range n {
		at := a.next()
		if again := b.next(); again != at {
			t.Fatalf("the same seed gave %v and %v", at, again)
		}
		if other.next() == at {
			same++
		}
		if at < last {
			t.Fatalf("%v after %v", at, last)
		}
		gap := (at - last).Seconds()
		gaps += gap
		squares += gap * gap
		last = at
	}
	if same > 0 {
		t.Errorf("another seed gave %d of the same moments", same)
	}
	// Exponential gaps: mean and standard deviation are both 1/rate; 3 % is four standard errors.
	mean := gaps / n
	deviation := math.Sqrt(squares/n - mean*mean)
	if math.Abs(mean*50-1) > 0.03 || math.Abs(deviation*50-1) > 0.03 {
		t.Errorf("gaps of %g s on average, deviation %g, want both 0.02", mean, deviation)
	}
}

func TestArrivalsSaturate(t *testing.T) {
	t.Parallel()
	a := newArrivals(1, 1e-300)
	if at := a.next(); at <= maxDuration {
		t.Errorf("a rate near zero has its first arrival after %v", at)
	}
}

func TestLoadNames(t *testing.T) {
	t.Parallel()
	for load, want := range map[Load]string{
		{Streams: 1}: "1 stream", {Streams: 16}: "16 streams", {Rate: 2.5}: "2.5 req/s",
	} {
		if got := load.String(); got != want {
			t.Errorf("%+v is %q, want %q", load, got, want)
		}
	}
}

package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestDistribution compares with the exact percentiles of the sorted samples.
func TestDistribution(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 10, 99, 100, 101, 5000} {
		h := newHistogram()
		var exact []float64
		sum := 0.0
		for range n {
			latency := time.Duration(math.Exp(random.NormFloat64()*2) * float64(20*time.Millisecond))
			h.add(latency, 1)
			exact = append(exact, float64(latency.Nanoseconds())/1e6)
			sum += exact[len(exact)-1]
		}
		slices.Sort(exact)
		at := func(p float64) float64 { return exact[int(math.Ceil(p/100*float64(n)))-1] }
		d := h.distribution()
		if d.Count != int64(n) {
			t.Errorf("counted %d of %d", d.Count, n)
		}
		for name, pair := range map[string][2]float64{
			"mean": {d.Mean, sum / float64(n)}, "p50": {d.P50, at(50)}, "p90": {d.P90, at(90)}, "p95": {d.P95, at(95)},
			"p99": {d.P99, at(99)}, "max": {d.Max, exact[n-1]},
		} {
			if math.Abs(pair[0]-pair[1]) > 0.002*pair[1]+0.002 {
				t.Errorf("%d samples: %s is %g, want %g", n, name, pair[0], pair[1])
			}
		}
	}
}

func TestDistributionTakesAnyLatency(t *testing.T) {
	t.Parallel()
	h := newHistogram()
	h.add(-time.Second, 1)
	h.add(0, 2)
	h.add(math.MaxInt64, 1)
	if d := h.distribution(); d.Count != 4 || d.P50 != 0 {
		t.Errorf("got %+v", d)
	}
	if d := newHistogram().distribution(); d != (Distribution{}) {
		t.Errorf("of nothing: %+v", d)
	}
}

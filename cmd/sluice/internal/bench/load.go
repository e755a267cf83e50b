package bench

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// Load is one point of a sweep: a number of streams in a closed loop, or a rate of arrivals in an open one.
type Load struct {
	// Streams is the number of requests that are always in flight. 0: the loop is open.
	Streams int
	// Rate is the mean number of arrivals a second in an open loop.
	Rate float64
}

// open says whether requests arrive by the clock.
func (l Load) open() bool { return l.Streams == 0 }

// value is the load as a number for an axis.
func (l Load) value() float64 {
	if l.open() {
		return l.Rate
	}
	return float64(l.Streams)
}

func (l Load) String() string {
	switch {
	case l.open():
		return strconv.FormatFloat(l.Rate, 'g', -1, 64) + " req/s"
	case l.Streams == 1:
		return "1 stream"
	default:
		return fmt.Sprintf("%d streams", l.Streams)
	}
}

// arrivals are the moments of a Poisson process, counted from its start: the gaps between them are exponential.
type arrivals struct {
	random *rand.Rand
	rate   float64
	at     float64 // seconds
}

// newArrivals gives the same moments for the same seed and rate.
func newArrivals(seed uint64, rate float64) *arrivals {
	return &arrivals{random: rand.New(rand.NewPCG(seed, streamArrivals)), rate: rate} //nolint:gosec // a workload, not a secret
}

// next returns the next moment. It saturates far beyond any run.
func (a *arrivals) next() time.Duration {
	a.at += a.random.ExpFloat64() / a.rate
	return time.Duration(min(a.at, (100*365*24*time.Hour).Seconds()) * float64(time.Second))
}

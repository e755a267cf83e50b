package bench

import (
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Distribution sums up latencies, in milliseconds.
type Distribution struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// histogram counts latencies of up to two days in microseconds, in a few hundred kilobytes whatever their number.
type histogram struct{ counts *hdr.Histogram }

const longestLatency = 2 * maxDuration

func newHistogram() histogram { return histogram{counts: hdr.New(1, longestLatency.Microseconds(), 3)} }

// add counts a latency n times.
func (h histogram) add(latency time.Duration, n int64) {
	microseconds := min(max(latency, 0), longestLatency).Microseconds()
	if err := h.counts.RecordValues(microseconds, n); err != nil {
		panic(err) // the bounds above are the histogram's
	}
}

func (h histogram) distribution() Distribution {
	n := h.counts.TotalCount()
	if n == 0 {
		return Distribution{}
	}
	// The nearest rank, rounded up: the library rounds to the nearer rank, which in a small sample leaves out the tail.
	at := func(percent int64) float64 {
		rank := (percent*n + 99) / 100
		return float64(h.counts.ValueAtPercentile(100*float64(rank)/float64(n))) / 1e3
	}
	return Distribution{
		Count: n, Mean: h.counts.Mean() / 1e3,
		P50: at(50), P90: at(90), P95: at(95), P99: at(99), Max: float64(h.counts.Max()) / 1e3,
	}
}

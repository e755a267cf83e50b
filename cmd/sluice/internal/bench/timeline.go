package bench

import "time"

// Moment is a stretch of a run.
type Moment struct {
	// Start is where it begins, in seconds from the start of the load.
	Start float64 `json:"start_s"`
	// Tokens is the number of tokens that came in it, a second.
	Tokens float64 `json:"tokens_per_s"`
	// InFlight is the mean number of requests in flight.
	InFlight float64 `json:"in_flight"`
}

const (
	firstBin = 100 * time.Millisecond
	maxBins  = 600
)

// timeline counts tokens and requests in flight over time. Its bins become twice as wide whenever there are too many, so
// that a run of any length fits. Not safe for concurrent use.
type timeline struct {
	width    time.Duration
	bins     []bin
	inFlight int
	changed  time.Duration // when inFlight was last accounted for
}

type bin struct {
	tokens int
	busy   time.Duration // time spent by all requests in it
}

func newTimeline() *timeline { return &timeline{width: firstBin} }

// tokens counts tokens that came at a moment.
func (t *timeline) tokens(at time.Duration, n int) { t.bin(at).tokens += n }

// change says that requests began or ended at a moment. Moments before the last one count as the last one.
func (t *timeline) change(at time.Duration, by int) {
	for t.changed < at {
		current := t.bin(t.changed) // may widen the bins
		end := min(at, t.changed.Truncate(t.width)+t.width)
		current.busy += time.Duration(t.inFlight) * (end - t.changed)
		t.changed = end
	}
	t.inFlight += by
}

func (t *timeline) bin(at time.Duration) *bin {
	at = max(at, 0)
	for at/t.width >= maxBins {
		for i := range (len(t.bins) + 1) / 2 {
			merged := t.bins[2*i]
			if 2*i+1 < len(t.bins) {
				merged.tokens += t.bins[2*i+1].tokens
				merged.busy += t.bins[2*i+1].busy
			}
			t.bins[i] = merged
		}
		t.bins = t.bins[:(len(t.bins)+1)/2]
		t.width *= 2
	}
	for i := int(at / t.width); i >= len(t.bins); {
		t.bins = append(t.bins, bin{})
	}
	return &t.bins[at/t.width]
}

// moments returns the bins of a run that took so long.
func (t *timeline) moments(elapsed time.Duration) []Moment {
	t.change(elapsed, 0)
	moments := make([]Moment, 0, len(t.bins))
	for i := 0; i < len(t.bins); i++ {
		b, start, end := t.bins[i], time.Duration(i)*t.width, min(time.Duration(i+1)*t.width, elapsed)
		if i+2 == len(t.bins) && elapsed-end < t.width/2 { // a sliver would be a needle in the plot
			b.tokens += t.bins[i+1].tokens
			b.busy += t.bins[i+1].busy
			end, i = max(elapsed, end), i+1
		}
		width := max(end-start, time.Microsecond).Seconds()
		moments = append(moments, Moment{
			Start: start.Seconds(), Tokens: float64(b.tokens) / width, InFlight: b.busy.Seconds() / width,
		})
	}
	return moments
}

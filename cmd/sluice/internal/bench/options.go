package bench

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// The bounds of a run.
const (
	// maxRequests bounds the requests of one load.
	maxRequests = 1_000_000
	// maxStreams bounds the requests in flight.
	maxStreams = 4096
	// maxRate bounds the arrivals a second.
	maxRate = 100_000
	// maxTokens bounds prompts and answers.
	maxTokens = 1 << 20
	// maxDuration bounds the time in which a load starts requests, and that of a request.
	maxDuration = 24 * time.Hour
	maxLoads    = 64
)

// Options say what to measure.
type Options struct {
	// Loads are measured in turn.
	Loads []Load
	// Requests is how many a load sends at most. 0: as many as Duration has room for or, without one, 8 a stream, at
	// least 16, in the closed loop and 100 in the open one.
	Requests int
	// Duration is how long a load starts requests; those in flight are then waited for. 0: until Requests are sent.
	Duration time.Duration
	// Warmup is the number of requests before each load that are not measured. Negative: one a stream, at most 16.
	Warmup int
	// MaxInFlight bounds the requests in flight in the open loop. Those that wait for room are due all the same.
	MaxInFlight int
	// Timeout bounds a request. 0: maxDuration.
	Timeout  time.Duration
	Workload Workload
	SLO      SLO
}

// SLO are the objectives that a request must keep to count as good. Zero: any value will do.
type SLO struct {
	// TTFT bounds the time to first token.
	TTFT time.Duration
	// ITL bounds the mean of the request's own inter-token latencies.
	ITL time.Duration
}

// Validate returns every fault, by the names of the command's options.
func (o *Options) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(len(o.Loads) > 0 && len(o.Loads) <= maxLoads, "a run measures 1 to %d loads", maxLoads)
	for _, l := range o.Loads {
		if l.Streams != 0 || l.Rate == 0 { // a load that is neither is taken for a loop of no streams
			check(l.Streams >= 1 && l.Streams <= maxStreams, "--concurrency must be 1 to %d, not %d", maxStreams, l.Streams)
		} else {
			check(l.Rate > 0 && l.Rate <= maxRate, "--rate must be more than 0 and at most %d, not %g", maxRate, l.Rate)
		}
	}
	check(o.Requests >= 0 && o.Requests <= maxRequests, "--requests must be at most %d", maxRequests)
	check(o.Duration >= 0 && o.Duration <= maxDuration, "--duration must be at most %s", maxDuration)
	check(o.Warmup <= maxRequests, "--warmup must be at most %d", maxRequests)
	check(o.MaxInFlight >= 1 && o.MaxInFlight <= maxStreams, "--max-in-flight must be 1 to %d", maxStreams)
	check(o.Timeout >= 0 && o.Timeout <= maxDuration, "--timeout must be at most %s", maxDuration)
	check(o.SLO.TTFT >= 0 && o.SLO.ITL >= 0, "--slo-ttft and --slo-itl must not be negative")
	w := &o.Workload
	check(w.Prompt.Mean >= 1 && w.Prompt.Mean <= maxTokens, "--prompt-tokens must be 1 to %d", maxTokens)
	check(w.Answer.Mean >= 1 && w.Answer.Mean <= maxTokens, "--max-tokens must be 1 to %d", maxTokens)
	check(w.Prefix >= 0 && w.Prefix <= maxTokens, "--shared-prefix must be at most %d", maxTokens)
	check(w.Form == Words || w.Vocabulary >= 1, "prompts of ids need the size of the vocabulary")
	return errors.Join(slices.Compact(faults)...)
}

// requests is how many a load sends at most.
func (o *Options) requests(load Load) int {
	switch {
	case o.Requests > 0:
		return o.Requests
	case o.Duration > 0:
		return maxRequests
	case load.open():
		return 100
	default:
		return min(max(16, 8*load.Streams), maxRequests)
	}
}

// warmup is how many requests a load sends before it measures.
func (o *Options) warmup(load Load) int {
	if o.Warmup >= 0 {
		return o.Warmup
	}
	return min(max(load.Streams, 1), 16)
}

package bench

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// server is a target in a bubble of synctest: its times are exact.
type server struct {
	first, each time.Duration
	perDelta    int
	stall       time.Duration // of the first request, before its first token
	fail        func(n int) error
	asked       atomic.Int64
	inFlight    atomic.Int64
	most        atomic.Int64
}

func (s *server) Generate(ctx context.Context, request Request, delta func(int)) (Usage, error) {
	n := int(s.asked.Add(1))
	s.most.Store(max(s.most.Load(), s.inFlight.Add(1)))
	defer s.inFlight.Add(-1)
	if s.fail != nil {
		if err := s.fail(n); err != nil {
			return Usage{}, err
		}
	}
	wait := s.first
	if n == 1 {
		wait += s.stall
	}
	for done := 0; done < request.MaxTokens; wait = 0 {
		k := min(max(s.perDelta, 1), request.MaxTokens-done)
		if done > 0 {
			wait = s.each * time.Duration(k)
		}
		if !await(ctx, time.Now().Add(wait)) {
			return Usage{}, &FailureError{Status: "GONE", Err: ctx.Err()}
		}
		done += k
		delta(k)
	}
	return Usage{Known: true, PromptTokens: len(request.IDs), CompletionTokens: request.MaxTokens}, nil
}

func fixed(loads ...Load) *Options {
	return &Options{Loads: loads, MaxInFlight: 100, Workload: Workload{
		Prompt: Lengths{Mean: 10}, Answer: Lengths{Mean: 5}, Form: TokenIDs, Vocabulary: 1000,
	}}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 0.002*want+1e-6 {
		t.Errorf("%s is %g, want %g", what, got, want)
	}
}

func run(ctx context.Context, t *testing.T, target Target, o *Options) []Level {
	t.Helper()
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	levels, err := Run(ctx, target, o, func(Load) {})
	if err != nil {
		t.Fatal(err)
	}
	return levels
}

func TestClosedLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := fixed(Load{Streams: 1}, Load{Streams: 4})
		o.Requests, o.Warmup = 8, 2
		s := &server{first: 20 * time.Millisecond, each: 10 * time.Millisecond}
		levels := run(t.Context(), t, s, o)
		if s.asked.Load() != 2*(2+8) || s.most.Load() != 4 {
			t.Errorf("%d requests, %d at once", s.asked.Load(), s.most.Load())
		}
		for i, l := range levels {
			streams := float64(o.Loads[i].Streams)
			if l.Sent != 8 || l.OK != 8 || l.Failed != 0 || l.OutputTokens != 40 || l.PromptTokens != 80 || l.Short != 0 {
				t.Errorf("%+v", l)
			}
			near(t, "TTFT", l.TTFT.P50, 20)
			near(t, "ITL", l.ITL.P99, 10)
			near(t, "ITLs", float64(l.ITL.Count), 32)
			near(t, "TPOT", l.TPOT.Mean, 10)
			near(t, "E2E", l.E2E.Max, 60)
			near(t, "elapsed", l.Elapsed, 8*0.060/streams)
			near(t, "output", l.OutputPerSecond, streams*5/0.060)
			near(t, "total", l.TotalPerSecond, streams*15/0.060)
			near(t, "requests/s", l.RequestsPerSecond, streams/0.060)
			near(t, "decode", l.DecodePerSecond, streams/0.010)
			if l.MergedDeltas != 0 || l.MergedTokens != 0 || l.Deltas != 40 {
				t.Errorf("%d of %d deltas merged", l.MergedDeltas, l.Deltas)
			}
		}
	})
}

// TestDecodeLeavesPromptsOut: four streams whose prompts are read one after another, so that the first ones decode beside
// that; only what comes once all of them decode counts.
func TestDecodeLeavesPromptsOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := fixed(Load{Streams: 4})
		o.Requests, o.Warmup, o.Workload.Answer.Mean = 4, 0, 100
		prompt := make(chan struct{}, 1) // not a mutex: for one, the bubble's time does not go on
		s := &server{each: 10 * time.Millisecond}
		l := run(t.Context(), t, targetFunc(func(ctx context.Context, request Request, delta func(int)) (Usage, error) {
			prompt <- struct{}{}
			await(ctx, time.Now().Add(100*time.Millisecond))
			<-prompt
			return s.Generate(ctx, request, delta)
		}), o)[0]
		near(t, "decode", l.DecodePerSecond, 400)
		if l.DecodeElapsed < 0.67 || l.DecodeElapsed > 0.70 { // the first one ends 990 ms after it began; the last one begins after 300
			t.Errorf("all decoded for %g s", l.DecodeElapsed)
		}
		if l.OutputPerSecond >= 350 {
			t.Errorf("%g tokens/s with the prompts", l.OutputPerSecond)
		}
	})
}

// TestNoDecodeWithoutAFullHouse: streams that never decode at once, and an open loop, have no speed of decoding.
func TestNoDecodeWithoutAFullHouse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := make(chan struct{}, 1)
		s := &server{first: time.Millisecond, each: time.Millisecond}
		apart := targetFunc(func(ctx context.Context, request Request, delta func(int)) (Usage, error) {
			one <- struct{}{}
			defer func() { <-one }()
			return s.Generate(ctx, request, delta)
		})
		for _, load := range []Load{{Streams: 2}, {Rate: 100}} {
			o := fixed(load)
			o.Requests = 4
			if l := run(t.Context(), t, apart, o)[0]; l.DecodePerSecond != 0 || l.DecodeElapsed != 0 {
				t.Errorf("%v: %g tokens/s in %g s", load, l.DecodePerSecond, l.DecodeElapsed)
			}
		}
	})
}

// TestStalledServerCannotHide: one request holds up a server that serves one at a time. The others are late, and their
// latencies say so because they count from when they were due.
func TestStalledServerCannotHide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := fixed(Load{Rate: 10})
		o.Requests, o.MaxInFlight = 50, 1
		s := &server{first: time.Millisecond, each: time.Millisecond, stall: 10 * time.Second}
		l := run(t.Context(), t, s, o)[0]
		if l.OK != 50 || s.most.Load() != 1 {
			t.Errorf("%d ended well, %d at once", l.OK, s.most.Load())
		}
		// Fifty arrivals take about five seconds, all of them while the server stalls.
		if l.TTFT.P50 < 4000 || l.Late.P50 < 4000 {
			t.Errorf("half of the first tokens came in %g ms, half were sent within %g ms", l.TTFT.P50, l.Late.P50)
		}
		near(t, "ITL", l.ITL.P50, 1)
	})
}

func TestOpenLoopKeepsTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := fixed(Load{Rate: 100})
		o.Duration = 100 * time.Second
		l := run(t.Context(), t, &server{first: 5 * time.Millisecond, each: time.Millisecond}, o)[0]
		if l.Sent < 9500 || l.Sent > 10500 || l.OK != l.Sent {
			t.Errorf("%d sent, %d ended well", l.Sent, l.OK)
		}
		near(t, "lateness", l.Late.Max, 0)
		near(t, "TTFT", l.TTFT.P99, 5)
	})
}

func TestMergedDeltas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := fixed(Load{Streams: 1})
		o.Requests, o.Workload.Answer.Mean = 2, 9
		s := &server{first: 7 * time.Millisecond, each: 10 * time.Millisecond, perDelta: 4}
		l := run(t.Context(), t, s, o)[0]
		// 4, 4 and 1 tokens: 40 ms and 10 ms between them.
		if l.Deltas != 6 || l.MergedDeltas != 4 || l.MergedTokens != 12 {
			t.Errorf("%d deltas, %d merged, %d tokens", l.Deltas, l.MergedDeltas, l.MergedTokens)
		}
		near(t, "ITL", l.ITL.P50, 10)
		near(t, "ITLs", float64(l.ITL.Count), 10)
		near(t, "longest gap", l.DeltaGap.Max, 40)
		near(t, "TPOT", l.TPOT.Mean, 10)
		near(t, "merged", float64(l.MergedTokens)/float64(l.OutputTokens), 12.0/18)
	})
}

func TestGoodput(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			slo  SLO
			good int
		}{
			{SLO{}, 4},
			{SLO{TTFT: 20 * time.Millisecond}, 3}, // the first one stalls
			{SLO{TTFT: 20 * time.Millisecond, ITL: 10 * time.Millisecond}, 3},
			{SLO{ITL: 9 * time.Millisecond}, 0},
		} {
			o := fixed(Load{Streams: 1})
			o.Requests, o.SLO = 4, c.slo
			s := &server{first: 20 * time.Millisecond, each: 10 * time.Millisecond, stall: time.Second}
			l := run(t.Context(), t, s, o)[0]
			if l.Good != c.good {
				t.Errorf("%+v: %d good, want %d", c.slo, l.Good, c.good)
			}
			near(t, "goodput", l.Goodput, float64(c.good)/(4*0.060+1))
		}
	})
}

func TestFailuresAreCountedByStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := fixed(Load{Streams: 2})
		o.Requests = 30
		l := run(t.Context(), t, &server{first: time.Millisecond, each: time.Millisecond, fail: func(n int) error {
			switch {
			case n%3 == 0:
				return &FailureError{Status: "HTTP 503", Err: errors.New("busy\x1b[31m\nagain")}
			case n%10 == 1:
				return errors.New("odd")
			}
			return nil
		}}, o)[0]
		if l.Sent != 30 || l.Failed != 12 || l.OK != 18 || l.TTFT.Count != 18 || l.E2E.Count != 18 {
			t.Errorf("%d sent, %d failed, %d ended well", l.Sent, l.Failed, l.OK)
		}
		if got := l.Errors["HTTP 503"]; got != (Fault{Count: 10, Example: "busy [31m again"}) {
			t.Errorf("%+v", got)
		}
		if got := l.Errors["ERROR"]; got.Count != 2 || got.Example != "odd" {
			t.Errorf("%+v", got)
		}
	})
}

func TestServerThatMakesUpStatuses(t *testing.T) {
	t.Parallel()
	into := newRecorder(Load{Streams: 1}, SLO{}, time.Now())
	for i := range 1000 {
		into.fail(&FailureError{Status: time.Duration(i).String(), Err: errors.New("x")})
	}
	if n := len(into.level.Errors); n > maxStatuses+1 || into.level.Errors["OTHER"].Count != 1000-maxStatuses {
		t.Errorf("%d statuses", n)
	}
}

func TestWarmUpThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := fixed(Load{Streams: 4})
		o.Warmup = -1
		down := &FailureError{Status: "UNAVAILABLE", Err: errors.New("down")}
		s := &server{fail: func(int) error { return down }}
		levels, err := Run(t.Context(), s, o, func(Load) {})
		if !errors.Is(err, down) || len(levels) != 0 || s.asked.Load() != 4 {
			t.Errorf("%v, %d levels, %d requests", err, len(levels), s.asked.Load())
		}
	})
}

func TestInterruptionKeepsWhatWasMeasured(t *testing.T) {
	t.Parallel()
	for name, load := range map[string]Load{"closed": {Streams: 3}, "open": {Rate: 50}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				stop := errors.New("stop")
				ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second+5*time.Millisecond, stop)
				defer cancel()
				o := fixed(load, load)
				o.Duration, o.Warmup = time.Hour, 0
				levels, err := Run(ctx, &server{first: 50 * time.Millisecond, each: 10 * time.Millisecond}, o, func(Load) {})
				if !errors.Is(err, stop) || len(levels) != 1 {
					t.Fatalf("%v, %d levels", err, len(levels))
				}
				l := levels[0]
				if l.Interrupted == 0 || l.OK == 0 || l.Failed != 0 || l.OK+l.Interrupted != l.Sent {
					t.Errorf("%d sent, %d ended well, %d interrupted, %d failed", l.Sent, l.OK, l.Interrupted, l.Failed)
				}
				near(t, "elapsed", l.Elapsed, 10.005)
			})
		})
	}
}

func TestTimeoutOfARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := fixed(Load{Streams: 1})
		o.Requests, o.Timeout = 3, time.Second
		l := run(t.Context(), t, &server{stall: time.Hour}, o)[0]
		if l.OK != 2 || l.Errors["GONE"].Count != 1 {
			t.Errorf("%d ended well, %v", l.OK, l.Errors)
		}
	})
}

func TestDurationEndsTheLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := fixed(Load{Streams: 2})
		o.Duration = time.Second
		l := run(t.Context(), t, &server{first: 20 * time.Millisecond, each: 10 * time.Millisecond}, o)[0]
		if l.Sent != 34 || l.OK != 34 { // 17 of 60 ms begin within a second, on each stream
			t.Errorf("%d sent, %d ended well", l.Sent, l.OK)
		}
		near(t, "elapsed", l.Elapsed, 1.02)
	})
}

func TestAnswersWithoutUsageOrTokens(t *testing.T) {
	t.Parallel()
	into := newRecorder(Load{Streams: 1}, SLO{TTFT: time.Hour}, time.Now())
	into.ask(t.Context(), targetFunc(func(_ context.Context, _ Request, delta func(int)) (Usage, error) {
		delta(0)
		delta(1)
		delta(1)
		return Usage{}, nil
	}), Request{MaxTokens: 5}, time.Now(), time.Hour)
	into.ask(t.Context(), targetFunc(func(context.Context, Request, func(int)) (Usage, error) {
		return Usage{Known: true}, nil
	}), Request{MaxTokens: 5}, time.Now(), time.Hour)
	l := into.result()
	if l.OK != 2 || l.NoUsage != 1 || l.OutputTokens != 2 || l.Short != 2 || l.TTFT.Count != 1 || l.E2E.Count != 2 || l.Good != 1 {
		t.Errorf("%+v", l)
	}
}

type targetFunc func(context.Context, Request, func(int)) (Usage, error)

func (f targetFunc) Generate(ctx context.Context, r Request, delta func(int)) (Usage, error) {
	return f(ctx, r, delta)
}

func TestOptionsNameTheirFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want   string
		change func(*Options)
	}{
		{"1 to 64 loads", func(o *Options) { o.Loads = nil }},
		{"--concurrency", func(o *Options) { o.Loads = []Load{{Streams: -1}} }},
		{"--concurrency", func(o *Options) { o.Loads = []Load{{}} }},
		{"--concurrency", func(o *Options) { o.Loads = []Load{{Streams: maxStreams + 1}} }},
		{"--rate", func(o *Options) { o.Loads = []Load{{Rate: -1}} }},
		{"--rate", func(o *Options) { o.Loads = []Load{{Rate: math.NaN()}} }},
		{"--rate", func(o *Options) { o.Loads = []Load{{Rate: math.Inf(1)}} }},
		{"--requests", func(o *Options) { o.Requests = -1 }},
		{"--duration", func(o *Options) { o.Duration = 25 * time.Hour }},
		{"--warmup", func(o *Options) { o.Warmup = maxRequests + 1 }},
		{"--max-in-flight", func(o *Options) { o.MaxInFlight = 0 }},
		{"--timeout", func(o *Options) { o.Timeout = -1 }},
		{"--slo-ttft", func(o *Options) { o.SLO.TTFT = -1 }},
		{"--prompt-tokens", func(o *Options) { o.Workload.Prompt.Mean = 0 }},
		{"--max-tokens", func(o *Options) { o.Workload.Answer.Mean = maxTokens + 1 }},
		{"--shared-prefix", func(o *Options) { o.Workload.Prefix = -1 }},
		{"vocabulary", func(o *Options) { o.Workload.Vocabulary = 0 }},
	} {
		o := fixed(Load{Streams: 1})
		c.change(o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want a fault of %s, got %v", c.want, err)
		}
	}
}

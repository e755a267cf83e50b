//go:build overload

package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	client "github.com/sluiceml/sluice/clients/go"
	"github.com/sluiceml/sluice/cmd/sluice/internal/bench"
)

// What overload must not do, as docs/reliability.md promises it.
const (
	leastGoodput   = 0.95  // of the peak
	mostFirstToken = 2     // times that at capacity, at the 99th percentile
	refusedWithin  = 0.010 // seconds in the server, for 99 of 100; a bound of the histogram's buckets
)

// overloadAnswer is the length of every answer, in tokens.
const overloadAnswer = 32

// TestOverload offers a server 1, 2, 4 and 8 times what it can do: requests arrive by the clock, whether or not those before
// them have been answered. First a closed loop finds out how much it can do. `make overload` prints the table of
// docs/reliability.md; SECONDS, DEVICE and QUEUE_TIME change the run. It wants a machine that does nothing else.
func TestOverload(t *testing.T) {
	const slots = 16
	value := func(name, otherwise string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	seconds, err := strconv.Atoi(value("SECONDS", "30"))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, nil, "--slots", strconv.Itoa(slots), "--max-context", "512", "--prefix-cache-bytes", "0",
		"--device", value("DEVICE", "cpu"), "--queue-time", value("QUEUE_TIME", "1s"))
	measure := func(load bench.Load, duration time.Duration, warmup int) bench.Level {
		levels, err := bench.Run(t.Context(), &bench.Sluice{
			Client: client.NewFromConn(s.conn), IgnoreEOS: true,
		}, &bench.Options{
			Loads: []bench.Load{load}, Duration: duration, Warmup: warmup, MaxInFlight: bench.MaxStreams,
			Workload: bench.Workload{
				Seed: 1, Prompt: bench.Lengths{Mean: 32}, Answer: bench.Lengths{Mean: overloadAnswer},
				Form: bench.TokenIDs, Vocabulary: 49152,
			},
		}, func(bench.Load) {})
		if err != nil {
			t.Fatal(err)
		}
		s.idle(deadline(t))
		return levels[0]
	}

	window := time.Duration(seconds) * time.Second
	closed := measure(bench.Load{Streams: slots}, window/2, slots)
	capacity := steady(closed, window/2) / overloadAnswer
	fmt.Printf("capacity: %.1f requests/s, %.0f tokens/s of %d streams in a closed loop, first token p99 %.0f ms\n",
		capacity, capacity*overloadAnswer, slots, closed.TTFT.P99)

	type row struct {
		level    bench.Level
		goodput  float64 // tokens a second of admitted requests
		offered  float64
		refusals float64 // share that took no longer than refusedWithin
	}
	var rows []row
	peak := capacity * overloadAnswer
	for _, times := range []float64{1, 2, 4, 8} {
		before := s.refusals()
		level := measure(bench.Load{Rate: times * capacity}, window, 0)
		after := s.refusals()
		r := row{level: level, goodput: steady(level, window), offered: float64(level.Sent) * overloadAnswer / window.Seconds()}
		if n := after.all - before.all; n > 0 {
			r.refusals = (after.quick - before.quick) / n
		}
		for status, fault := range level.Errors {
			if status != "RESOURCE_EXHAUSTED" {
				t.Errorf("at %g times: %d requests ended with %s: %s", times, fault.Count, status, fault.Example)
			}
		}
		if refused := after.all - before.all; int(refused) != level.Failed {
			t.Errorf("at %g times: clients saw %d refusals, the server counted %g", times, level.Failed, refused)
		}
		peak = max(peak, r.goodput)
		rows = append(rows, r)
	}
	fmt.Printf("| offered | requests/s | admitted | goodput, tokens/s | of the peak | first token p50 / p99, ms | refused | within %g ms |\n", refusedWithin*1e3)
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for i, r := range rows {
		times := 1 << i
		fmt.Printf("| %d× | %.1f | %d | %.0f | %.1f %% | %.0f / %.0f | %d | %.2f %% |\n", times, r.level.Rate, r.level.OK, r.goodput,
			100*r.goodput/peak, r.level.TTFT.P50, r.level.TTFT.P99, r.level.Failed, 100*r.refusals)
		if need := leastGoodput * min(peak, r.offered); r.goodput < need { // at once, less may come than can be done
			t.Errorf("at %d times: %.0f tokens/s, less than %.0f", times, r.goodput, need)
		}
		if most := mostFirstToken * rows[0].level.TTFT.P99; r.level.TTFT.P99 > most {
			t.Errorf("at %d times: first token after %.0f ms, more than %.0f", times, r.level.TTFT.P99, most)
		}
		if r.level.Failed > 0 && r.refusals < 0.99 {
			t.Errorf("at %d times: %.2f %% of the refusals took more than %g ms", times, 100*(1-r.refusals), refusedWithin*1e3)
		}
	}
}

// steady is the rate of tokens in the part of a load that has left its beginning behind and still gets requests.
func steady(level bench.Level, window time.Duration) float64 {
	from, to := window.Seconds()/5, window.Seconds()
	tokens, first, last := 0.0, 0.0, 0.0
	for i, m := range level.Timeline[:len(level.Timeline)-1] {
		end := level.Timeline[i+1].Start
		if m.Start < from || end > to {
			continue
		}
		if first == 0 {
			first = m.Start
		}
		last = end
		tokens += m.Tokens * (end - m.Start)
	}
	return tokens / (last - first)
}

// refusals are the calls that ended with RESOURCE_EXHAUSTED, by the server's own clock: all, and those that took no longer
// than refusedWithin.
type refusals struct{ all, quick float64 }

func (s *server) refusals() (r refusals) {
	s.t.Helper()
	for line := range strings.Lines(s.scrape("text/plain")) {
		if !strings.Contains(line, `rpc_response_status_code="RESOURCE_EXHAUSTED"`) {
			continue
		}
		number, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " "):]), 64)
		if err != nil {
			s.t.Fatal(err)
		}
		switch {
		case strings.HasPrefix(line, "rpc_server_call_duration_seconds_count{"):
			r.all += number
		case strings.HasPrefix(line, "rpc_server_call_duration_seconds_bucket{") && strings.Contains(line, fmt.Sprintf(`le="%g"`, refusedWithin)):
			r.quick += number
		}
	}
	return r
}

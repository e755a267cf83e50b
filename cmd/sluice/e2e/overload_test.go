//go:build overload && linux

package e2e_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// What overload must not do, as docs/reliability.md promises it.
const (
	leastGoodput   = 0.95  // of the peak
	mostFirstToken = 2     // times that at capacity, at the 99th percentile
	refusedWithin  = 0.010 // seconds in the server, for 99 of 100; a bound of the histogram's buckets
)

// The load of TestOverload: requests of overloadPrompt tokens for answers of overloadAnswer.
const (
	overloadSlots  = 16
	overloadLoop   = 24 // requests of the closed loop, so that one waits whenever a slot gets free
	overloadPrompt = 32
	overloadAnswer = 32
)

// TestOverload offers a server 1, 2, 4 and 8 times what it can do: requests arrive by the clock, whether or not those before
// them have been answered. How much it can do, a closed loop says, before every series of the four, and the figures are
// medians of the series. `make overload` prints the table of docs/reliability.md; SECONDS (of each load), SERIES, DEVICE and
// QUEUE_TIME change the run. It wants a machine that does nothing else.
//
// The client has the server's cores. What it takes of them is in the table.
func TestOverload(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the client's goroutines take turns anyway
	seconds, series := whole(t, "SECONDS", 12), whole(t, "SERIES", 3)
	s := serve(t, nil, "--slots", strconv.Itoa(overloadSlots), "--max-context", "512", "--prefix-cache-bytes", "0",
		"--device", setting("DEVICE", "cpu"), "--queue-time", setting("QUEUE_TIME", "1s"))
	l := newLoad(t, s, time.Duration(seconds)*time.Second)
	l.closed(2 * time.Second) // warm
	factors := []float64{0, 1, 2, 4, 8}
	rows := make([]overload, len(factors))
	for range series {
		rate := 0.0
		for i, times := range factors {
			if i == 0 {
				one := l.closed(l.window)
				rate = one.goodput[0] / overloadAnswer
				rows[i].add(one)
				continue
			}
			rows[i].add(l.open(times * rate))
		}
	}
	report(t, factors, rows)
}

// setting is an environment variable's value.
func setting(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func whole(t *testing.T, name string, otherwise int) int {
	t.Helper()
	n, err := strconv.Atoi(setting(name, strconv.Itoa(otherwise)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// report prints the table and holds it to the promises.
func report(t *testing.T, factors []float64, rows []overload) {
	t.Helper()
	peak := 0.0
	for i := range rows {
		peak = max(peak, median(rows[i].goodput))
	}
	fmt.Printf("| offered | requests/s | admitted | goodput, tokens/s | of the peak | the client's share of the cores | first token p50 / p99, ms | refused | within %g ms |\n", refusedWithin*1e3)
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	capacity := &rows[1]
	for i, times := range factors {
		r := &rows[i]
		name, quick := "closed loop of "+strconv.Itoa(overloadLoop), "–"
		if i > 0 {
			name = fmt.Sprintf("%g×", times)
		}
		if r.refused > 0 {
			quick = fmt.Sprintf("%.2f %%", 100*r.quick/float64(r.refused))
		}
		goodput := median(r.goodput)
		fmt.Printf("| %s | %.1f | %d | %.0f (%.0f to %.0f) | %.1f %% | %.1f %% | %.0f / %.0f | %d | %s |\n", name,
			r.seconds(r.sent), r.ok, goodput, slices.Min(r.goodput), slices.Max(r.goodput), 100*goodput/peak, 100*median(r.client),
			r.quantile(0.5), r.quantile(0.99), r.refused, quick)
		for status, n := range r.others {
			t.Errorf("%s: %d requests ended with gRPC status %s", name, n, status)
		}
		if r.counted != r.refused {
			t.Errorf("%s: clients saw %d refusals, the server counted %d", name, r.refused, r.counted)
		}
		if i == 0 {
			continue
		}
		if need := leastGoodput * min(peak, r.seconds(r.sent)*overloadAnswer); goodput < need { // at once, less may come than can be done
			t.Errorf("%s: %.0f tokens/s, less than %.0f", name, goodput, need)
		}
		if most := mostFirstToken * capacity.quantile(0.99); r.quantile(0.99) > most {
			t.Errorf("%s: first token after %.0f ms, more than %.0f", name, r.quantile(0.99), most)
		}
		if r.refused > 0 && r.quick < 0.99*float64(r.refused) {
			t.Errorf("%s: %.2f %% of the refusals took more than %g ms", name, 100*(1-r.quick/float64(r.refused)), refusedWithin*1e3)
		}
	}
}

// overload is what came of one load, or of several alike.
type overload struct {
	elapsed           float64 // seconds in which requests were sent
	sent, ok, refused int
	others            map[string]int // by gRPC status
	firstToken        []float64      // milliseconds from when the request was due
	goodput           []float64      // tokens a second of admitted requests, one figure for each load
	client            []float64      // share of the machine's cores, likewise
	counted           int            // refusals, by the server
	quick             float64        // those of them that took no longer than refusedWithin
}

// add joins the figures of another load.
func (o *overload) add(a overload) {
	o.elapsed, o.sent, o.ok, o.refused = o.elapsed+a.elapsed, o.sent+a.sent, o.ok+a.ok, o.refused+a.refused
	o.firstToken, o.goodput, o.client = append(o.firstToken, a.firstToken...), append(o.goodput, a.goodput...), append(o.client, a.client...)
	o.counted, o.quick = o.counted+a.counted, o.quick+a.quick
	for status, n := range a.others {
		if o.others == nil {
			o.others = map[string]int{}
		}
		o.others[status] += n
	}
}

func (o *overload) seconds(n int) float64 { return float64(n) / o.elapsed }

func (o *overload) quantile(q float64) float64 {
	if len(o.firstToken) == 0 {
		return math.NaN()
	}
	return percentile(o.firstToken, q)
}

// load makes loads for a server.
type load struct {
	t        *testing.T
	s        *server
	w        *wire
	window   time.Duration
	requests [][]byte // taken by turns
	random   *rand.Rand

	mu      sync.Mutex
	taken   int      // guarded by mu
	result  overload // guarded by mu: of the load that runs
	running int      // guarded by mu: requests on their way
	again   bool     // guarded by mu: what ends is followed by another
}

func newLoad(t *testing.T, s *server, window time.Duration) *load {
	t.Helper()
	l := &load{t: t, s: s, w: dialWire(t, s.grpc), window: window, random: rand.New(rand.NewPCG(1, 2))}
	for range 256 {
		ids := make([]uint32, overloadPrompt)
		for i := range ids {
			ids[i] = l.random.Uint32N(49152)
		}
		l.requests = append(l.requests, encoded(t, &sluicev1.GenerateRequest{
			Input:    &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: ids}},
			Sampling: &sluicev1.Sampling{Temperature: new(float32(0)), MaxTokens: new(uint32(overloadAnswer)), IgnoreEos: new(true)},
		}))
	}
	return l
}

// closed keeps overloadLoop requests on their way.
func (l *load) closed(window time.Duration) overload {
	l.t.Helper()
	l.again = true
	return l.measure(window, func(time.Time) {
		for range overloadLoop {
			l.ask(time.Now())
		}
	}, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.again = false
	})
}

// open sends requests by a Poisson process.
func (l *load) open(rate float64) overload {
	l.t.Helper()
	return l.measure(l.window, func(start time.Time) {
		for at := start; ; {
			at = at.Add(time.Duration(l.random.ExpFloat64() / rate * float64(time.Second)))
			if at.Sub(start) >= l.window {
				return
			}
			time.Sleep(time.Until(at)) //nolint:forbidigo // arrivals are by the clock
			l.ask(at)
		}
	}, func() {})
}

// measure makes a load for a time: begin sends requests, and end says that the time is over. Goodput is that of the part of
// the time which has left its beginning behind.
func (l *load) measure(window time.Duration, begin func(start time.Time), end func()) overload {
	l.t.Helper()
	l.result = overload{others: map[string]int{}, elapsed: window.Seconds()}
	before, started := l.s.counts(), time.Now()
	edge := make(chan float64, 1)
	var used, steady time.Duration
	timer := time.AfterFunc(window/5, func() {
		used, steady = clientTime(l.t), time.Since(started)
		edge <- l.s.counts().tokens
	})
	defer timer.Stop()
	begin(started)
	time.Sleep(time.Until(started.Add(window))) //nolint:forbidigo // as long as it takes
	tokens := l.s.counts().tokens - <-edge
	took := time.Since(started) - steady
	used = clientTime(l.t) - used
	end()
	l.s.idle(deadline(l.t))
	for { // the last ends are on their way
		l.mu.Lock()
		running := l.running
		l.mu.Unlock()
		if running == 0 {
			break
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // nobody tells
	}
	after := l.s.counts()
	r := l.result
	r.goodput = []float64{tokens / took.Seconds()}
	r.client = []float64{used.Seconds() / took.Seconds() / float64(runtime.NumCPU())}
	r.counted, r.quick = int(after.refused-before.refused), after.quick-before.quick
	return r
}

// ask sends a request that was due at a moment.
func (l *load) ask(due time.Time) {
	l.mu.Lock()
	request := l.requests[l.taken%len(l.requests)]
	l.taken++
	l.result.sent++
	l.running++
	l.mu.Unlock()
	first := 0.0
	err := l.w.send(request, &wireCall{
		message: func(n int, now time.Time) {
			if n == 2 { // the one behind Started
				first = now.Sub(due).Seconds() * 1e3
			}
		},
		end: func(status string, _ time.Time) { l.ended(status, first) },
	})
	if err != nil {
		l.t.Error(err)
	}
}

// ended takes note of a request's end.
func (l *load) ended(status string, first float64) {
	const resourceExhausted = "8"
	l.mu.Lock()
	l.running--
	switch status {
	case "0":
		l.result.ok++
		l.result.firstToken = append(l.result.firstToken, first)
	case resourceExhausted:
		l.result.refused++
	default:
		l.result.others[status]++
	}
	again := l.again
	l.mu.Unlock()
	if again {
		l.ask(time.Now())
	}
}

// clientTime is the processor time that this process has had.
func clientTime(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Error(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// counts are figures of the server's metrics: generated tokens, and calls that ended with RESOURCE_EXHAUSTED by the server's
// own clock, all and those that took no longer than refusedWithin.
type counts struct{ tokens, refused, quick float64 }

func (s *server) counts() (c counts) {
	s.t.Helper()
	for line := range strings.Lines(s.scrape("text/plain")) {
		var to *float64
		refused := strings.Contains(line, `rpc_response_status_code="RESOURCE_EXHAUSTED"`)
		switch {
		case strings.HasPrefix(line, "sluice_step_tokens_total{") && strings.Contains(line, `phase="decode"`):
			to = &c.tokens
		case refused && strings.HasPrefix(line, "rpc_server_call_duration_seconds_count{"):
			to = &c.refused
		case refused && strings.HasPrefix(line, "rpc_server_call_duration_seconds_bucket{") && strings.Contains(line, fmt.Sprintf(`le="%g"`, refusedWithin)):
			to = &c.quick
		default:
			continue
		}
		number, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " "):]), 64)
		if err != nil {
			s.t.Error(err)
		}
		*to += number
	}
	return c
}

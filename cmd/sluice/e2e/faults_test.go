//go:build faults && linux

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	channelzpb "google.golang.org/grpc/channelz/grpc_channelz_v1"
	"google.golang.org/grpc/codes"
)

// The bounds of the fault run.
const (
	faultWorkers  = 24              // requests at once, three times the slots
	readerTimeout = 2 * time.Second // of the server, for idle readers
	idleFor       = 8 * time.Second // how long those do not read: the server first has to fill their windows
	stuckAfter    = 5 * time.Minute // a request that takes so long is stuck
	settleWithin  = time.Minute     // what is left of broken connections
	// memoryBackAfter is longer than free slots keep their memory.
	memoryBackAfter = 12 * time.Second
)

// number is that of an environment variable, or another one.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestFaults puts REQUESTS (10,000) random ones to a server, most of whose clients misbehave: they cancel, give no time, break
// their connections, send what is wrong, read slowly or not at all. Those that behave get the tokens that they get alone, every
// request ends and is accounted for, and when all is over the server holds nothing: no request, slot or goroutine, and
// no more memory than after a tenth of them. What a request does depends on SEED and its number alone. SECONDS ends the
// run earlier. `make faults` runs it.
func TestFaults(t *testing.T) {
	f := &faultRun{t: t, seed: uint64(number(t, "SEED", 1)), accounts: map[string]*account{}}
	requests, seconds := number(t, "REQUESTS", 10_000), number(t, "SECONDS", 0)
	f.server = serve(t, nil, "--slots", "8", "--max-context", strconv.Itoa(faultContext), "--prefix-cache-bytes", "8MiB",
		"--reader-timeout", readerTimeout.String())
	f.learn()
	f.run(1, 200, time.Time{}) // warms up; its accounts count as the others'
	quiet := f.settle(nil)
	started := time.Now()
	var until time.Time
	if seconds > 0 {
		until = started.Add(time.Duration(seconds) * time.Second)
	}
	f.run(201, requests/10, until)
	early := f.settle(quiet)
	f.run(201+requests/10, requests-requests/10, until)
	late := f.settle(quiet)
	f.audit()

	fmt.Printf("%d requests in %s, seed %d: ", len(f.accounts), time.Since(started).Round(time.Second), f.seed)
	for _, kind := range slices.Sorted(maps.Keys(f.fates)) {
		fmt.Printf("%d %s, ", f.fates[kind], kind)
	}
	fmt.Printf("\nresident memory after %d: %.0f MB, at the end: %.0f MB; goroutines %d, before them %d\n",
		200+requests/10, early.resident/1e6, late.resident/1e6, late.goroutines, quiet.goroutines)
	if late.resident > 1.1*early.resident+24e6 {
		t.Errorf("memory grew from %.0f to %.0f MB", early.resident/1e6, late.resident/1e6)
	}
	if !t.Failed() {
		fmt.Println("none lost, none stuck, all accounted for; the server holds no request, slot, position or goroutine of them")
	}
}

// faultRun is the run's state.
type faultRun struct {
	t      *testing.T
	seed   uint64
	server *server
	want   [][]uint32 // the answers to the prompts, alone

	mu       sync.Mutex
	accounts map[string]*account // guarded by mu: by trace id
	fates    map[fate]int        // guarded by mu
}

// account is what became of a request, by its client's and the server's word.
type account struct {
	plan plan
	code codes.Code   // the client's
	log  []codes.Code // of the server's lines about it
}

// learn asks for the answers that the others are compared with.
func (f *faultRun) learn() {
	f.fates = map[fate]int{}
	for _, text := range faultPrompts() {
		response, err := f.server.Generate(deadline(f.t), prompt(text, greedy(referenceTokens)))
		if err != nil {
			f.t.Fatal(err)
		}
		f.want = append(f.want, response.GetOutputs()[0].GetTokenIds())
	}
}

// run makes the requests of some numbers, until a moment if there is one.
func (f *faultRun) run(first, n int, until time.Time) {
	c, err := newClients(f.server.grpc, 4)
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.close()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range faultWorkers {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || !until.IsZero() && time.Now().After(until) {
					return
				}
				f.one(c, first+i)
			}
		})
	}
	workers.Wait()
}

// one makes a request and judges its answer.
func (f *faultRun) one(c *clients, number int) {
	p := newPlan(f.seed, number)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watchdog := time.AfterFunc(stuckAfter, func() {
		f.t.Errorf("request %d (%s) is stuck", number, p.fate)
		cancel()
	})
	got := c.run(ctx, &p)
	watchdog.Stop()
	if complaint := f.judge(&p, got); complaint != "" {
		f.t.Errorf("request %d (%s, stream %t): %s", number, p.fate, p.stream, complaint)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.accounts[p.trace] = &account{plan: p, code: got.code}
	f.fates[p.fate]++
}

// judge says what is wrong with an answer; "" for nothing.
func (f *faultRun) judge(p *plan, got ending) string {
	want := f.want[p.text]
	switch {
	case p.fate == bad && got.code != badRequests()[p.bad].code:
		return fmt.Sprintf("got %s, want %s", got.code, badRequests()[p.bad].code)
	case p.fate == plain || p.fate == slow:
		want = want[:min(len(want), int(p.tokens))]
		if got.code != codes.OK || !slices.Equal(got.ids, want) {
			return fmt.Sprintf("got %s, %v, alone %v", got.code, got.ids, want)
		}
	case p.fate == idle && got.code != codes.Aborted && got.code != codes.OK:
		return fmt.Sprintf("got %s, want Aborted, or OK if it all went into the windows", got.code)
	case p.fate == cancels && got.code != codes.Canceled,
		p.fate == expires && got.code != codes.DeadlineExceeded,
		p.fate == drops && got.code != codes.Unavailable && got.code != codes.Canceled:
		return fmt.Sprintf("ended with %s", got.code)
	case len(got.ids) > 0 && p.fate != idle && !slices.Equal(got.ids[:min(len(got.ids), len(want))], want[:min(len(got.ids), len(want))]):
		return fmt.Sprintf("before it was left it got %v, alone %v", got.ids, want)
	}
	return ""
}

// holds is what a server holds.
type holds struct {
	busy       float64 // requests that run or wait, and positions of keys and values
	goroutines int
	resident   float64 // bytes
}

func (f *faultRun) holds() holds {
	text := f.server.scrape("text/plain")
	return holds{
		busy: value(text, "sluice_requests_running") + value(text, "sluice_requests_waiting") + value(text, "sluice_kv_cache_tokens"),
		// Those of the scrape itself come and go.
		goroutines: int(value(text, "go_goroutines")),
		resident:   value(text, "process_resident_memory_bytes"),
	}
}

// settle waits until the server, whose clients have gone, holds no request, no slot and no goroutine that it did not hold
// before.
func (f *faultRun) settle(before *holds) *holds {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), settleWithin)
	defer cancel()
	var last holds
	began := time.Now()
	for quiet := 0; quiet < 3 || time.Since(began) < memoryBackAfter; {
		select {
		case <-ctx.Done():
			f.t.Fatalf("a minute after the last request the server holds %+v, before %+v", last, before)
		case <-time.After(500 * time.Millisecond):
		}
		now := f.holds()
		if now.busy == 0 && (before == nil && now.goroutines == last.goroutines || before != nil && now.goroutines <= before.goroutines) {
			quiet++
		} else {
			quiet = 0
		}
		last = now
	}
	return &last
}

// audit compares what the clients know with the server's log, and the log with its metrics.
func (f *faultRun) audit() {
	byCode := map[codes.Code]int{}
	reached := 0 // the model
	for line := range strings.Lines(f.server.logged()) {
		var record struct {
			Message string `json:"msg"`
			Method  string `json:"grpc.method"`
			Code    string `json:"grpc.code"`
			Trace   string `json:"trace_id"`
			Request string `json:"request_id"` // of one whose message came and is well formed
		}
		if json.Unmarshal([]byte(line), &record) != nil || record.Message != "finished call" || !strings.HasPrefix(record.Method, "Generate") {
			continue
		}
		code := codeNamed(record.Code)
		byCode[code]++
		if record.Request != "" {
			reached++
		}
		if a := f.accounts[record.Trace]; a != nil {
			a.log = append(a.log, code)
		}
	}
	unseen := 0 // requests that reached no handler
	for trace, a := range f.accounts {
		switch {
		case len(a.log) > 1:
			f.t.Errorf("%s (%s): %d lines", trace, a.plan.fate, len(a.log))
		case len(a.log) == 0 && a.plan.fate.known():
			f.t.Errorf("%s (%s) ended with %s and is not in the log", trace, a.plan.fate, a.code)
		case len(a.log) == 0:
			unseen++
		case a.plan.fate.known() && a.log[0] != a.code:
			f.t.Errorf("%s (%s) ended with %s, in the log %s", trace, a.plan.fate, a.code, a.log[0])
		case a.log[0] == codes.Internal || a.log[0] == codes.Unknown || a.log[0] == codes.ResourceExhausted:
			f.t.Errorf("%s (%s): %s", trace, a.plan.fate, a.log[0])
		}
	}
	counted, outcomes := map[codes.Code]int{}, 0
	for line := range strings.Lines(f.server.scrape("text/plain")) {
		n, _ := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " ")+1:]), 64)
		switch {
		case strings.HasPrefix(line, "rpc_server_call_duration_seconds_count{") && strings.Contains(line, "InferenceService/Generate"):
			_, name, _ := strings.Cut(line, `rpc_response_status_code="`)
			name, _, _ = strings.Cut(name, `"`)
			counted[codeNamed(name)] += int(n)
		case strings.HasPrefix(line, "sluice_requests_total{"):
			outcomes += int(n)
		}
	}
	// A call whose message never came has no line, and counts as cancelled or expired.
	extra := 0
	for code, n := range counted {
		switch more := n - byCode[code]; {
		case more < 0, more > 0 && code != codes.Canceled && code != codes.DeadlineExceeded:
			f.t.Errorf("%s: %d calls counted, %d in the log", code, n, byCode[code])
		default:
			extra += more
		}
	}
	if extra > unseen {
		f.t.Errorf("%d calls counted that reached no handler, of %d that may have", extra, unseen)
	}
	if outcomes != reached {
		f.t.Errorf("%d requests counted by their outcome, and %d reached the model", outcomes, reached)
	}
	f.auditChannelz()
	fmt.Printf("calls by status, in the log and in the metrics: ")
	for _, code := range slices.Sorted(maps.Keys(counted)) {
		fmt.Printf("%d %s, ", counted[code], code)
	}
	fmt.Printf("%d left before they reached the server\n", unseen-extra)
}

// auditChannelz: by gRPC's own count, no call is left.
func (f *faultRun) auditChannelz() {
	response, err := channelzpb.NewChannelzClient(f.server.conn).GetServers(deadline(f.t), &channelzpb.GetServersRequest{})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, s := range response.GetServer() {
		d := s.GetData()
		if open := d.GetCallsStarted() - d.GetCallsSucceeded() - d.GetCallsFailed(); open > 1 { // this one
			f.t.Errorf("channelz has %d open calls", open)
		}
	}
}

// codeNamed is the code of a name: DeadlineExceeded, DEADLINE_EXCEEDED.
func codeNamed(name string) codes.Code {
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		if strings.EqualFold(strings.ReplaceAll(name, "_", ""), code.String()) || strings.EqualFold(name, "cancelled") && code == codes.Canceled {
			return code
		}
	}
	return codes.Unknown
}

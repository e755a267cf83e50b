//go:build tracingcost && linux

package e2e_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/metadata"
)

// The cost of tracing is processor time of the server per token, all of its threads, and not elapsed time: so it can be
// measured on a machine that does other things. ONNX Runtime has one thread, since its threads spin while they wait for
// each other. `make bench-tracing` prints the table of docs/tracing.md.

// arm is a way to trace. All arms do the same work in turn, which is a round; a round compares each with its base. Two
// processes that do the same differ by some percent, for as long as they live: so what is sampled is compared within
// one process, and a second server without tracing shows what a comparison of two is worth.
type arm struct {
	name    string
	server  int     // index of costServers
	sampled float64 // share of requests whose caller has sampled them
	base    int     // index of the arm that this one is compared with
}

func costArms() []arm {
	return []arm{
		{"off", 0, 0, 0},
		{"off, another process", 1, 0, 0},
		{"OTLP, unsampled", 2, 0, 0},
		{"OTLP, 1 %", 2, 0.01, 2},
		{"OTLP, 100 %", 2, 1, 2},
		{"file, unsampled", 3, 0, 0},
		{"file, 100 %", 3, 1, 5},
	}
}

// atHome says whether an arm is compared with one of the same process.
func (a arm) atHome() bool { return costArms()[a.base].server == a.server }

// costServers are what the servers of a sitting are started with.
func costServers(t *testing.T) [][2][]string {
	_, environment := startBackend(t)
	environment = append(environment, "OTEL_TRACES_SAMPLER=parentbased_always_off", "OTEL_METRICS_EXPORTER=none")
	interval := "OTEL_BSP_SCHEDULE_DELAY=200" // so that a block pays for its own spans
	return [][2][]string{
		{nil, nil},
		{nil, nil},
		{append(environment, interval), nil},
		{{interval, "OTEL_TRACES_SAMPLER=parentbased_always_off"}, {"--trace-file", filepath.Join(t.TempDir(), "traces.jsonl")}},
	}
}

// costOf says how much is measured: the sittings each have servers of their own, so that the luck of one process does
// not decide.
func costOf(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

func TestTracingCost(t *testing.T) {
	sittings, rounds := costOf("SITTINGS", 4), costOf("ROUNDS", 6)
	streams, tokens := costOf("STREAMS", 4), costOf("TOKENS", 48)
	arms := costArms()
	times := make([][]float64, len(arms)) // seconds of processor time a token, of each round
	var profiled []profiledTracing        // of each sitting
	requests := 0.0                       // since the last sampled one of the arm of 1 %
	for sitting := range sittings {
		ways := costServers(t)
		servers := make([]*server, len(ways))
		for i := range ways { // each is started first once
			at := (i + sitting) % len(ways)
			started := ways[at]
			servers[at] = serve(t, started[0], append([]string{
				"--slots", strconv.Itoa(streams), "--device", "cpu:threads=1", "--admin-addr", "127.0.0.1:0",
			}, started[1]...)...)
		}
		for round := -1; round < rounds; round++ { // one to warm up
			for i := range arms {
				a := arms[(i+max(0, round))%len(arms)]
				sampled := make([]bool, streams)
				for j := range sampled {
					requests += a.sampled
					sampled[j] = requests >= 1
					requests = math.Mod(requests, 1)
				}
				took := costOfBlock(t, servers[a.server], sampled, tokens)
				if at := (i + max(0, round)) % len(arms); round >= 0 {
					times[at] = append(times[at], took)
				}
			}
		}
		profiled = append(profiled, profileTracing(t, servers[2], streams, tokens))
		for _, s := range servers {
			s.stop()
		}
	}
	fmt.Printf("%d rounds of %d streams of %d tokens, in %d sittings\n", len(times[0]), streams, tokens, sittings)
	fmt.Printf("| tracing | processor time a token, ms | more, %% (95 %% interval) | than |\n|---|---|---|---|\n")
	for i, a := range arms {
		mean, _ := meanAndError(times[i])
		ratios := make([]float64, len(times[i]))
		for r := range ratios {
			ratios[r] = (times[i][r]/times[a.base][r] - 1) * 100
		}
		if !a.atHome() { // the rounds of a sitting share the luck of its processes, so that they count as one
			ratios = meansOf(ratios, rounds)
		}
		change, halfWidth := meanAndError(ratios)
		fmt.Printf("| %s | %.3f | %+.1f (%+.1f to %+.1f) | %s |\n", a.name, mean*1e3, change, change-halfWidth, change+halfWidth, arms[a.base].name)
	}
	var sum profiledTracing
	for _, p := range profiled {
		sum.tracing, sum.all = sum.tracing+p.tracing, sum.all+p.all
	}
	const sample = 0.01 // seconds of processor time between two samples of a profile
	samples := sum.tracing / sample
	most := (samples + 2*math.Sqrt(samples) + 3) * sample // of a Poisson distribution, at 95 %, none seen included
	fmt.Printf("OTLP, unsampled, by its profiles: %.2f s of %.1f s of processor time in otelgrpc and the tracer, %.2f %% (95 %% interval to %.2f)\n",
		sum.tracing, sum.all, 100*sum.tracing/sum.all, 100*most/sum.all)
}

// profiledTracing is processor time in seconds.
type profiledTracing struct{ tracing, all float64 }

// profileTracing profiles a server while it answers requests that nobody samples. What two processes differ by does not
// show in it; otelgrpc's time contains that of the metrics of calls.
func profileTracing(t *testing.T, s *server, streams, tokens int) (p profiledTracing) {
	t.Helper()
	const seconds = 8
	file := filepath.Join(t.TempDir(), "cpu.pprof")
	before := processorTime(t, s.command.Process.Pid)
	done := make(chan error, 1)
	go func() {
		done <- download(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.adminAddr(), seconds), file)
	}()
	for profiling := true; profiling; {
		costOfBlock(t, s, make([]bool, streams), tokens)
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			profiling = false
		default:
		}
	}
	p.all = (processorTime(t, s.command.Process.Pid) - before).Seconds()
	output, err := exec.CommandContext(deadline(t), "go", "tool", "pprof", "-top", "-unit", "ms",
		"-focus", `otel/(sdk/)?trace|otelgrpc|propagation|stepTracer|jobTrace`, file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if m := regexp.MustCompile(`Showing nodes accounting for ([\d.]+)ms`).FindSubmatch(output); m != nil { // none: no sample
		milliseconds, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		p.tracing = milliseconds / 1e3
	}
	return p
}

// download puts what an address answers into a file.
func download(address, file string) error {
	response, err := http.Get(address)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %w", response.Status, err)
	}
	return os.WriteFile(file, body, 0o600)
}

// meansOf are the means of runs of n values.
func meansOf(values []float64, n int) (means []float64) {
	for run := range slices.Chunk(values, n) {
		mean, _ := meanAndError(run)
		means = append(means, mean)
	}
	return means
}

// costOfBlock runs one request a stream, all at once, and returns the server's processor time a token, the export of
// the spans included.
func costOfBlock(t *testing.T, s *server, sampled []bool, tokens int) float64 {
	t.Helper()
	before := processorTime(t, s.command.Process.Pid)
	group, ctx := errgroup.WithContext(deadline(t))
	for i, is := range sampled {
		group.Go(func() error { return costRequest(ctx, s, i, is, tokens) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(250 * time.Millisecond) //nolint:forbidigo // the exporters' interval, shortened to 200 ms by the environment
	return (processorTime(t, s.command.Process.Pid) - before).Seconds() / float64(len(sampled)*tokens)
}

func costRequest(ctx context.Context, s *server, i int, sampled bool, tokens int) error {
	ids := make([]byte, 24)
	_, _ = rand.Read(ids) // never fails
	flags := map[bool]string{false: "00", true: "01"}[sampled]
	ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", "00-"+hex.EncodeToString(ids[:16])+"-"+hex.EncodeToString(ids[16:])+"-"+flags)
	request := prompt(fmt.Sprintf("Story number %d begins with", i), greedy(uint32(tokens)))
	request.Sampling.IgnoreEos = new(true)
	stream, err := s.GenerateStream(ctx, request)
	if err != nil {
		return err
	}
	for {
		event, err := stream.Recv()
		if err != nil {
			return err
		}
		if summary := event.GetSummary(); summary != nil {
			if n := summary.GetUsage().GetCompletionTokens(); int(n) != tokens {
				return fmt.Errorf("%d tokens, not %d", n, tokens)
			}
			return nil
		}
	}
}

// processorTime is that of all threads of a process, by its processor-time clock (clock_getcpuclockid in libc).
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

// meanAndError is the mean of values and half the width of its 95 % interval.
func meanAndError(values []float64) (mean, halfWidth float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	squares := 0.0
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	return mean, student(len(values)-1) * math.Sqrt(squares/(n-1)/n)
}

// student is the 0.975 quantile of Student's distribution.
func student(degrees int) float64 {
	table := []float64{math.Inf(1), 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23}
	switch {
	case degrees < len(table):
		return table[max(degrees, 0)]
	case degrees < 20:
		return 2.20 // a little too much
	default:
		return 2.09
	}
}

package e2e_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkStream measures the served default model as its clients see it: prompts of 128 tokens and answers of 128
// through GenerateStream, closed loop. It reports the median time to first token, the tokens per second of all streams
// together, and the server's resident memory after the run.
//
//	go test -run '^$' -bench Stream -benchtime 5x -count 6 ./cmd/sluice/e2e
func BenchmarkStream(b *testing.B) {
	for _, concurrency := range []int{1, 8, 16} {
		b.Run(fmt.Sprintf("concurrency=%d", concurrency), func(b *testing.B) {
			s := serve(b, nil, "--prefix-cache-bytes", "0") // every round sends the same prompts
			const length = 128
			first := make([][]time.Duration, concurrency)
			round := func(record bool) {
				var group sync.WaitGroup
				for i := range concurrency {
					group.Go(func() {
						ttft, err := stream(b, s, uint32(i), length)
						if err != nil {
							b.Error(err)
						}
						if record {
							first[i] = append(first[i], ttft)
						}
					})
				}
				group.Wait()
			}
			round(false) // warm-up
			for b.Loop() {
				round(true)
			}
			all := slices.Sorted(slices.Values(slices.Concat(first...)))
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1e3, "ms-ttft-p50")
			b.ReportMetric(float64(b.N*concurrency*length)/b.Elapsed().Seconds(), "tokens/s")
			b.ReportMetric(resident(b, s.command.Process.Pid), "MB-rss")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// stream runs one request of 128 distinct prompt tokens and returns its time to first token.
func stream(b *testing.B, s *server, seed, length uint32) (time.Duration, error) {
	b.Helper()
	start := time.Now()
	times, err := arrive(b, s, seed, length)
	if err != nil {
		return 0, err
	}
	return times[0].Sub(start), nil
}

// resident returns a process's resident memory in MB.
func resident(b testing.TB, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0 // not Linux
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return float64(kilobytes) / 1e3
		}
	}
	return 0
}

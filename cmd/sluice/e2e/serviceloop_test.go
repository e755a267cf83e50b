package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	sluice "github.com/sluiceml/sluice/clients/go"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// BenchmarkServiceAgainstLoop compares what clients read through GenerateStream with what a bare loop over the session's
// steps computes, which neither draws nor sends: tokens per second of streams that all decode, context 128 to 256, without
// speculation, in turn on the same cores. The client's share of the processor counts against the service: client-µs/token is
// what it is, requests included. On Linux writes/step says how many writes of the server carry the tokens of a step.
//
//	go test -run '^$' -bench ServiceAgainstLoop -benchtime 5x ./cmd/sluice/e2e
func BenchmarkServiceAgainstLoop(b *testing.B) {
	const context, length = 128, 128
	dir := defaultFolder()
	manifest, err := model.ReadManifest(dir)
	if err != nil {
		b.Fatal(err)
	}
	environment, err := ort.OpenEnvironment(library(b))
	if err != nil {
		b.Fatal(err)
	}
	session, err := environment.Open(ort.Config{
		Model: filepath.Join(dir, manifest.Graph.File), Graph: manifest.Graph, ContextLength: manifest.ContextLength,
		Device: ort.Device{Provider: ort.CPU, Threads: ort.PhysicalCores()}, Slots: 16, MaxLength: context + length, MaxChunk: context,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := errors.Join(session.Close(), environment.Close()); err != nil {
			b.Error(err)
		}
	})
	s := serve(b, nil, "--prefix-cache-bytes", "0", "--no-speculation")
	client, err := sluice.New(s.grpc) // the connection that clients have
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := client.Close(); err != nil {
			b.Error(err)
		}
	})
	s.InferenceServiceClient = sluicev1.NewInferenceServiceClient(client.Conn())
	for _, streams := range []int{1, 8, 16} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			decodeService(b, s, streams, length) // warm-up
			var service, loop, ratio, client, writes []float64
			for b.Loop() {
				used, written := ownTime(b), writesOf(b, s.command.Process.Pid)
				service = append(service, decodeService(b, s, streams, length))
				client = append(client, (ownTime(b)-used).Seconds()*1e6/float64(streams*length))
				writes = append(writes, float64(writesOf(b, s.command.Process.Pid)-written)/length)
				loop = append(loop, decodeLoop(b, session, streams, context, length))
				ratio = append(ratio, 100*service[len(service)-1]/loop[len(loop)-1])
			}
			b.ReportMetric(median(service), "tokens/s-service")
			b.ReportMetric(median(loop), "tokens/s-loop")
			b.ReportMetric(median(ratio), "%-of-loop")
			b.ReportMetric(median(client), "client-µs/token")
			b.ReportMetric(median(writes), "writes/step")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// ownTime is what this process has taken of all processors.
func ownTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// writesOf is how many writes a process has made, to sockets and to everything else.
func writesOf(b *testing.B, pid int) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0 // not Linux
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "syscw: "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(rest))
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	return 0
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// decodeLoop is the tokens per second of steps of so many rows on a prompt's keys and values each.
func decodeLoop(b *testing.B, session runner.Session, streams, context, length int) float64 {
	b.Helper()
	run := func(st runner.Step) {
		if _, err := session.Step(st); err != nil {
			b.Fatal(err)
		}
	}
	st := runner.Step{Decode: make([]runner.DecodeRow, streams)}
	for i := range streams {
		run(runner.Step{Chunks: []runner.Chunk{{Slot: i, Tokens: distinct(uint32(i), context), Logits: true}}})
		st.Decode[i] = runner.DecodeRow{Slot: i, Token: uint32(1000 + i)}
	}
	began := time.Now()
	for past := context; past < context+length; past++ {
		for i := range st.Decode {
			st.Decode[i].Past = past
		}
		run(st)
	}
	return float64(streams*length) / time.Since(began).Seconds()
}

// decodeService is the tokens per second of so many streams, from when the last of them has its first token until the first
// of them ends.
func decodeService(b *testing.B, s *server, streams, length int) float64 {
	b.Helper()
	arrivals := make([][]time.Time, streams)
	var group sync.WaitGroup
	for i := range streams {
		group.Go(func() {
			var err error
			if arrivals[i], err = arrive(b, s, uint32(i), uint32(length)); err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
	if b.Failed() {
		b.FailNow()
	}
	from, to := arrivals[0][0], arrivals[0][length-1]
	for _, times := range arrivals {
		if times[0].After(from) {
			from = times[0]
		}
		if last := times[length-1]; last.Before(to) {
			to = last
		}
	}
	tokens := 0
	for _, times := range arrivals {
		for _, at := range times {
			if at.After(from) && !at.After(to) {
				tokens++
			}
		}
	}
	return float64(tokens) / to.Sub(from).Seconds()
}

// arrive runs one request and returns when each of its tokens came.
func arrive(b *testing.B, s *server, seed, length uint32) ([]time.Time, error) {
	b.Helper()
	ignore := true
	sampling := greedy(length)
	sampling.IgnoreEos = &ignore
	call, err := s.GenerateStream(b.Context(), &sluicev1.GenerateRequest{
		Input: &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: distinct(seed, 128)}}, Sampling: sampling,
		Output: &sluicev1.OutputOptions{TokenIds: true},
	})
	if err != nil {
		return nil, err
	}
	var times []time.Time
	for {
		message, err := call.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		now := time.Now()
		for range message.GetDelta().GetTokenIds() {
			times = append(times, now)
		}
	}
	if len(times) != int(length) {
		return nil, fmt.Errorf("received %d tokens of %d", len(times), length)
	}
	return times, nil
}

// distinct are tokens of a prompt, others for each seed.
func distinct(seed uint32, n int) []uint32 {
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = 1000 + (seed*7919+uint32(i)*104729)%40000
	}
	return ids
}

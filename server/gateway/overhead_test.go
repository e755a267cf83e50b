//go:build unix

package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// overheadTokens is how many tokens each stream of BenchmarkStreams has.
const overheadTokens = 128

// step is how long a step of its session takes.
const step = 20 * time.Millisecond

// BenchmarkStreams measures what a token costs on its way to a client, in processor time of server and client together (which
// are this process): over gRPC, as server-sent events of the native API, and as OpenAI's. What it costs without any of
// them, read from the model itself, is taken off. The session computes nothing and takes its time as a model would, so that
// tokens are sent one by one; where two went together, because a reader was not there in time, they count as one. Each round
// is of all ways, one after the other: what disturbs one disturbs all.
func BenchmarkStreams(b *testing.B) {
	for _, streams := range []int{1, 64} {
		b.Run(strconv.Itoa(streams), func(b *testing.B) {
			d := open(b, servertest.Toy{
				Engine: engine.Config{NoSpeculation: true},
				Session: inferencetest.ToyConfig{
					Limits:     runner.Limits{Slots: 64, MaxLength: 256, MaxChunk: 64},
					BeforeStep: func(runner.Step) error { time.Sleep(step); return nil }, //nolint:forbidigo // it stands for work
				},
			}, "")
			ways := []struct {
				name string
				read func(context.Context) (pieces int, err error)
			}{
				{"none", d.readModel},
				{"grpc", d.readGRPC(b)},
				{"sse", d.readEvents("/sluice.v1.InferenceService/GenerateStream",
					`{"prompt":"hi","sampling":{"temperature":0,"maxTokens":128,"ignoreEos":true}}`, "event: delta")},
				{"openai", d.readEvents("/v1/completions",
					`{"prompt":"hi","temperature":0,"max_tokens":128,"ignore_eos":true,"stream":true}`, `data: {"id"`)},
			}
			spent, pieces := make([]time.Duration, len(ways)), make([]atomic.Int64, len(ways))
			for b.Loop() {
				for i, way := range ways {
					before := processorTime(b)
					var group sync.WaitGroup
					for range streams {
						group.Go(func() {
							n, err := way.read(b.Context())
							if pieces[i].Add(int64(n)); err != nil || n < overheadTokens/2 {
								b.Errorf("%s: %d pieces, %v", way.name, n, err)
							}
						})
					}
					group.Wait()
					spent[i] += processorTime(b) - before
				}
			}
			micros := func(i int) float64 { return float64((spent[i] - spent[0]).Microseconds()) / float64(pieces[i].Load()) }
			b.ReportMetric(0, "ns/op") // of all ways together, mostly sleep
			for i := 1; i < len(ways); i++ {
				b.ReportMetric(micros(i), ways[i].name+"-µs/token")
			}
			b.ReportMetric(micros(2)/micros(1), "sse/grpc")
			b.ReportMetric(micros(3)/micros(1), "openai/grpc")
		})
	}
}

// readModel reads an answer without any transport.
func (d *door) readModel(ctx context.Context) (pieces int, err error) {
	model, err := d.Registry.Model("")
	if err != nil {
		return 0, err
	}
	stream, err := model.Generate(ctx, inference.Request{
		ID: "r", Input: inference.Prompt{Text: "hi"}, Arrival: time.Now(),
		Sampling: inference.Sampling{TopP: 1, RepetitionPenalty: 1, MaxTokens: overheadTokens, IgnoreEOS: true},
		Output:   inference.Output{SkipSpecialTokens: true},
	})
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	for ; ; pieces++ {
		if _, err := stream.Next(ctx); errors.Is(err, io.EOF) {
			return pieces, nil
		} else if err != nil {
			return pieces, err
		}
	}
}

// readGRPC reads answers over gRPC and TCP, on one connection.
func (d *door) readGRPC(b *testing.B) func(context.Context) (int, error) {
	b.Helper()
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.Server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = conn.Close()
		d.Server.Stop()
		<-served //nolint:errcheck // it was stopped
	})
	client := sluicev1.NewInferenceServiceClient(conn)
	return func(ctx context.Context) (pieces int, err error) {
		stream, err := client.GenerateStream(ctx, &sluicev1.GenerateRequest{
			Input:    &sluicev1.GenerateRequest_Prompt{Prompt: "hi"},
			Sampling: &sluicev1.Sampling{Temperature: new(float32(0)), MaxTokens: new(uint32(overheadTokens)), IgnoreEos: new(true)},
		})
		if err != nil {
			return 0, err
		}
		for {
			event, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return pieces, nil
			}
			if err != nil {
				return pieces, err
			}
			if event.GetDelta() != nil {
				pieces++
			}
		}
	}
}

// readEvents reads answers as server-sent events, over HTTP/1.1 as most clients do, and counts the lines that begin with a
// mark.
func (d *door) readEvents(path, body, mark string) func(context.Context) (int, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	return func(ctx context.Context) (pieces int, err error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+path, strings.NewReader(body))
		if err != nil {
			return 0, err
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Accept", "text/event-stream")
		response, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return 0, errors.New(response.Status)
		}
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), mark) {
				pieces++
			}
		}
		return pieces, lines.Err()
	}
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

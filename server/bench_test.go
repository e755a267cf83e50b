package server_test

import (
	"io"
	"log/slog"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/servertest"
)

// BenchmarkStream measures what a streamed token costs beside the model: engine, façade, conversion, gRPC on both
// sides, in memory. The client lets go of each step of the toy only when it has the last one's text, so that no two
// deltas are joined: an operation is the way of one token from the step to the client and back.
func BenchmarkStream(b *testing.B) {
	const tokens = 200
	next := make(chan struct{}, tokens)
	i := servertest.Start(b, []*inference.Model{servertest.Toy{Session: inferencetest.ToyConfig{
		Limits:     runner.Limits{Slots: 1, MaxLength: 256, MaxChunk: 16},
		Script:     func([]uint32) (uint32, bool) { return 'x', true },
		BeforeStep: func(runner.Step) error { <-next; return nil },
	}}.Model(b)})
	client := sluicev1.NewInferenceServiceClient(i.Conn)
	b.ReportAllocs()
	for n := 0; n < b.N; n += tokens {
		call, err := client.GenerateStream(b.Context(), greedy("hi", tokens))
		if err != nil {
			b.Fatal(err)
		}
		for steps := 0; ; {
			event, err := call.Recv()
			if err != nil {
				b.Fatal(err)
			}
			if steps < tokens {
				steps++
				next <- struct{}{}
			}
			if event.GetSummary() != nil {
				break
			}
		}
	}
}

// BenchmarkRefusal measures what a call costs that is refused because the queue is full, with everything around it that
// the command has: metrics, traces of which none is sampled, a line in the log, gRPC on both sides, in memory. An
// operation is a call; the client's part is about half of it.
func BenchmarkRefusal(b *testing.B) {
	client, in := sluicev1.NewInferenceServiceClient(refusing(b).Conn), greedy("hi", 100)
	b.ReportAllocs()
	for b.Loop() {
		call, err := client.GenerateStream(b.Context(), in)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := call.Recv(); status.Code(err) != codes.ResourceExhausted {
			b.Fatal(err)
		}
	}
}

// refusing starts a server whose only slot and only place in the queue are taken, with everything around it that the
// command has: metrics, traces of which none is sampled, a log.
func refusing(tb testing.TB) *servertest.Instance {
	tb.Helper()
	hold := make(chan struct{})
	i := servertest.Start(tb, []*inference.Model{servertest.Toy{
		Session: inferencetest.ToyConfig{
			Limits:     runner.Limits{Slots: 1, MaxLength: 256, MaxChunk: 16},
			BeforeStep: func(runner.Step) error { <-hold; return nil },
		},
		Engine:         engine.Config{QueueLimit: 1},
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())),
	}.Model(tb)}, func(c *server.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(io.Discard, nil)) //nolint:sloglint // making the line is measured too
		c.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
		c.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	})
	tb.Cleanup(func() { close(hold) }) // before the server stops, which waits for its calls
	client := sluicev1.NewInferenceServiceClient(i.Conn)
	for range 2 { // one runs, one waits
		call, err := client.GenerateStream(tb.Context(), greedy("hi", 100))
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := call.Recv(); err != nil {
			tb.Fatal(err)
		}
	}
	return i
}

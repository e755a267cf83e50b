package server_test

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/servertest"
)

// fuse is a compressor that compresses nothing and panics at a message: the one of its parts that gRPC calls where a message
// is sent, and a test can choose.
type fuse struct{ left atomic.Int32 } // messages until then; both sides of a call count

var fused fuse

func (*fuse) Name() string { return "fuse" }

func (f *fuse) Compress(w io.Writer) (io.WriteCloser, error) {
	if f.left.Add(-1) == 0 {
		panic("the secret of the fuse")
	}
	return unclosed{w}, nil
}

func (*fuse) Decompress(r io.Reader) (io.Reader, error) { return r, nil }

type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

// A panic where an event is sent, which is on a goroutine of its own, ends its call with INTERNAL in the midst of its
// output, is counted and logged with its place, and lets go of the slot.
func TestPanicOfASend(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	i := start(t, servertest.Toy{Session: inferencetest.ToyConfig{Limits: runner.Limits{Slots: 1, MaxLength: 1 << 16, MaxChunk: 16}}},
		func(c *server.Config) { c.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)) })
	in := greedy("hi", 60_000) // as good as endless
	in.Sampling.IgnoreEos = new(true)
	fused.left.Store(4) // the request, started and a delta go through
	out, err := generator(i).GenerateStream(t.Context(), in, grpc.UseCompressor(fused.Name()))
	if err != nil {
		t.Fatal(err)
	}
	var got told
	st := wantStatus(t, got.read(t, out), codes.Internal)
	if got.started == nil || got.finished != nil || strings.Contains(st.Message(), "secret") {
		t.Errorf("the stream told %+v and ended with %q", got, st.Message())
	}
	idle(t, i)
	mustStream(t, generator(i), greedy("next", 3)) // the only slot is free
	if text := i.Log.String(); !strings.Contains(text, "the secret of the fuse") || !strings.Contains(text, "server/courier.go") {
		t.Errorf("the log does not say where:\n%s", text)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "sluice.server.panics" {
				if n := sum.DataPoints[0].Value; n != 1 {
					t.Errorf("counted %d panics, want 1", n)
				}
				return
			}
		}
	}
	t.Error("no counter of panics")
}

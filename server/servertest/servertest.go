// Package servertest runs the real server over a connection in memory, for the tests of everything that is a client
// of it.
package servertest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/server"
)

// bufferBytes is what the connection holds in each direction before a writer waits.
const bufferBytes = 64 << 10

// Instance is a running server and a connection to it. Both live until the test ends, and so do the models.
type Instance struct {
	Server   *server.Server
	Registry *inference.Registry
	Conn     *grpc.ClientConn
	Log      *Log // what the server has logged, as text

	listener *bufconn.Listener
}

// Start runs models and serves them, the first as the default one. The configuration may be changed before the server
// is made. When Start returns, the server is ready.
func Start(t testing.TB, models []*inference.Model, configure ...func(*server.Config)) *Instance {
	t.Helper()
	registry, err := inference.NewRegistry(models...)
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	log := &Log{}
	config := server.Config{
		Registry:       registry,
		Logger:         slog.New(traceHandler{slog.NewTextHandler(log, nil)}),
		TracerProvider: tracenoop.NewTracerProvider(),
		MeterProvider:  metricnoop.NewMeterProvider(),
	}
	for _, change := range configure {
		change(&config)
	}
	srv, err := server.New(config)
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	i := &Instance{Server: srv, Registry: registry, Log: log, listener: bufconn.Listen(bufferBytes)}
	i.run(t, models)
	i.Conn = i.Dial(t)
	return i
}

// run starts the models and the server, and has them stopped at the end of the test, the server first.
func (i *Instance) run(t testing.TB, models []*inference.Model) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, model := range models {
		running.Go(func() {
			if err := model.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				i.Log.add("models: " + err.Error())
			}
		})
	}
	running.Go(func() {
		if err := i.Server.Serve(i.listener); err != nil {
			t.Errorf("servertest: %v", err)
		}
	})
	t.Cleanup(func() {
		i.Server.Stop()
		cancel()
		running.Wait()
	})
	for _, model := range models {
		<-model.Running()
	}
	i.Server.SetServing(true)
}

// Dial opens a further connection, closed when the test ends.
func (i *Instance) Dial(t testing.TB, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///servertest", append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return i.listener.DialContext(ctx)
		}),
	}, options...)...)
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil && !strings.Contains(err.Error(), "closing") {
			t.Errorf("servertest: %v", err)
		}
	})
	return conn
}

// traceHandler names the trace, as the command's handler does.
type traceHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h traceHandler) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, record)
}

// Log collects what is written to it. It is safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

// Write adds a line.
func (l *Log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line) //nolint:wrapcheck // never fails
}

// String is all that was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *Log) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line + "\n")
}

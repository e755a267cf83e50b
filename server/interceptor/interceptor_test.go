package interceptor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/interceptor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a handler whose behaviour each test gives.
type service struct {
	sluicev1.UnimplementedInferenceServiceServer

	handle func(context.Context) error
}

func (s service) Generate(ctx context.Context, _ *sluicev1.GenerateRequest) (*sluicev1.GenerateResponse, error) {
	return &sluicev1.GenerateResponse{Id: "x"}, s.handle(ctx)
}

func (s service) GenerateStream(
	_ *sluicev1.GenerateRequest, out grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse],
) error {
	return s.handle(out.Context())
}

// harness is a server with the chain, a client of it, its log and its metrics.
type harness struct {
	client sluicev1.InferenceServiceClient
	log    *lockedBuffer
	reader *metric.ManualReader
}

func start(t *testing.T, config interceptor.Config, handle func(context.Context) error, outer ...grpc.ServerOption) harness {
	t.Helper()
	h := harness{log: &lockedBuffer{}, reader: metric.NewManualReader()}
	config.Logger = slog.New(traceHandler{slog.NewJSONHandler(h.log, nil)})
	config.MeterProvider = metric.NewMeterProvider(metric.WithReader(h.reader))
	chain, err := interceptor.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(append(outer,
		grpc.WaitForHandlers(true),
		grpc.ChainUnaryInterceptor(chain.Unary...), grpc.ChainStreamInterceptor(chain.Stream...))...)
	sluicev1.RegisterInferenceServiceServer(server, service{handle: handle})
	listener := bufconn.Listen(1 << 16)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///test",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	h.client = sluicev1.NewInferenceServiceClient(conn)
	return h
}

// call makes the call in one of its two forms.
func (h harness) call(t *testing.T, streaming bool) error {
	t.Helper()
	if !streaming {
		_, err := h.client.Generate(t.Context(), &sluicev1.GenerateRequest{RequestId: "secret prompt"})
		return err //nolint:wrapcheck // the status is what is tested
	}
	stream, err := h.client.GenerateStream(t.Context(), &sluicev1.GenerateRequest{RequestId: "secret prompt"})
	if err != nil {
		return err //nolint:wrapcheck // the status is what is tested
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return err //nolint:wrapcheck // the status is what is tested
		}
	}
}

func forms(t *testing.T, test func(t *testing.T, streaming bool)) {
	t.Helper()
	for name, streaming := range map[string]bool{"unary": false, "stream": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, streaming)
		})
	}
}

// A panic ends its own call with INTERNAL, is logged with its stack and trace and counted, and the server goes on.
func TestPanic(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, streaming bool) {
		t.Helper()
		id := trace.TraceID{0x01, 15: 0x02}
		tag := func(ctx context.Context) context.Context {
			return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{1}}))
		}
		h := start(t, interceptor.Config{}, func(context.Context) error { panic("the secret of the house") },
			taggedUnary(tag), taggedStream(tag))
		for range 2 {
			err := h.call(t, streaming)
			if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v", err)
			}
			if !strings.Contains(err.Error(), id.String()) {
				t.Errorf("%v does not name the trace", err)
			}
		}
		line := h.line(t, "internal error")
		if line["error"] != "panic: the secret of the house" || line["trace_id"] != id.String() {
			t.Errorf("log: %v", line)
		}
		if stack, _ := line["stack"].(string); !strings.Contains(stack, "interceptor_test.go") {
			t.Errorf("the stack does not lead to the panic: %v", stack)
		}
		if got := h.panics(t); got != 2 {
			t.Errorf("counted %d panics, want 2", got)
		}
	})
}

// A bug's text goes to the log and not to the client.
func TestInternalError(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, streaming bool) {
		t.Helper()
		h := start(t, interceptor.Config{}, func(context.Context) error { return errors.New("slot 7 is on fire") })
		err := h.call(t, streaming)
		if st := status.Convert(err); st.Code() != codes.Internal || st.Message() != "internal error" {
			t.Errorf("got %v", err)
		}
		if line := h.line(t, "internal error"); line["error"] != "slot 7 is on fire" {
			t.Errorf("log: %v", line)
		}
		if got := h.panics(t); got != 0 {
			t.Errorf("counted %d panics", got)
		}
	})
}

// The error of a handler is mapped, logged once with its code, and the line holds no text of the request.
func TestLogLine(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, streaming bool) {
		t.Helper()
		h := start(t, interceptor.Config{}, func(context.Context) error { return inference.Invalid("prompt", "must not be empty") })
		if err := h.call(t, streaming); status.Code(err) != codes.InvalidArgument {
			t.Errorf("got %v", err)
		}
		line := h.line(t, "finished call")
		if line["grpc.code"] != "InvalidArgument" || line["grpc.service"] != "sluice.v1.InferenceService" {
			t.Errorf("log: %v", line)
		}
		if text := h.log.String(); strings.Contains(text, "secret") || strings.Count(text, "\n") != 1 {
			t.Errorf("log: %s", text)
		}
	})
}

// Calls that are refused for want of room write some lines and not one each, and say how many wrote none.
func TestRefusalsAreLoggedSparsely(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, streaming bool) {
		t.Helper()
		h := start(t, interceptor.Config{}, func(context.Context) error { return &inference.QueueFullError{Limit: 1, Of: "requests"} })
		const calls = 400 // would take 40 s to have a line each
		lines, skipped := 0, 0
		for range calls {
			if err := h.call(t, streaming); status.Code(err) != codes.ResourceExhausted {
				t.Fatalf("got %v", err)
			}
		}
		for text := range strings.Lines(h.log.String()) {
			var line struct {
				Skipped int `json:"refusals_not_logged"`
			}
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatal(err)
			}
			lines, skipped = lines+1, skipped+line.Skipped
		}
		if lines < 10 || lines == calls || lines+skipped > calls {
			t.Errorf("%d calls made %d lines, which tell of %d others", calls, lines, skipped)
		}
	})
}

// Infrastructure makes no lines and has no bound.
func TestInfrastructure(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, streaming bool) {
		t.Helper()
		config := interceptor.Config{MaxDuration: time.Hour, Infrastructure: func(string) bool { return true }}
		h := start(t, config, func(ctx context.Context) error {
			if _, ok := ctx.Deadline(); ok {
				return errors.New("a bound")
			}
			return inference.Invalid("x", "y")
		})
		if err := h.call(t, streaming); status.Code(err) != codes.InvalidArgument {
			t.Errorf("got %v", err)
		}
		if text := h.log.String(); text != "" {
			t.Errorf("log: %s", text)
		}
	})
}

// The bound ends a call that came without a deadline, as its own deadline would.
func TestMaxDuration(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, streaming bool) {
		t.Helper()
		h := start(t, interceptor.Config{MaxDuration: time.Millisecond}, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if err := h.call(t, streaming); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
}

func taggedUnary(tag func(context.Context) context.Context) grpc.ServerOption {
	return grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		return next(tag(ctx), req)
	})
}

func taggedStream(tag func(context.Context) context.Context) grpc.ServerOption {
	return grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		return next(srv, taggedServerStream{ServerStream: ss, ctx: tag(ss.Context())})
	})
}

type taggedServerStream struct {
	grpc.ServerStream

	ctx context.Context //nolint:containedctx // a stream's context is its own
}

func (s taggedServerStream) Context() context.Context { return s.ctx }

// line returns the first line of the log with a message. Interceptors have returned before the client has its answer.
func (h harness) line(t *testing.T, message string) map[string]any {
	t.Helper()
	for text := range strings.Lines(h.log.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line["msg"] == message {
			return line
		}
	}
	t.Fatalf("no line %q in %s", message, h.log.String())
	return nil
}

func (h harness) panics(t *testing.T) int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := h.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "sluice.server.panics" {
				return sum.DataPoints[0].Value
			}
		}
	}
	t.Fatal("no counter of panics")
	return 0
}

// traceHandler names the trace, as the command's handler does.
type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, record)
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer // guarded by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p) //nolint:wrapcheck // never fails
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

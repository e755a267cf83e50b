//go:build mesh

package meshtest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// story is a request for so many tokens, the same each time.
func story(tokens uint32) *sluicev1.GenerateRequest {
	cold, on := float32(0), true
	return &sluicev1.GenerateRequest{
		Input:    &sluicev1.GenerateRequest_Prompt{Prompt: "The river ran past the mill, and"},
		Sampling: &sluicev1.Sampling{Temperature: &cold, MaxTokens: &tokens, IgnoreEos: &on},
		Output:   &sluicev1.OutputOptions{TokenIds: true},
	}
}

// tell streams a request and returns its text and the number of deltas; onDelta, if set, is called after the first.
func tell(ctx context.Context, conn *grpc.ClientConn, in *sluicev1.GenerateRequest, onDelta func()) (string, int, error) {
	stream, err := sluicev1.NewInferenceServiceClient(conn).GenerateStream(ctx, in)
	if err != nil {
		return "", 0, err
	}
	var text strings.Builder
	deltas, summary := 0, false
	for {
		event, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && !summary:
			return text.String(), deltas, errors.New("the stream ended without its summary")
		case errors.Is(err, io.EOF):
			return text.String(), deltas, nil
		case err != nil:
			return text.String(), deltas, err
		}
		if delta := event.GetDelta(); delta != nil {
			text.WriteString(delta.GetText())
			if deltas++; deltas == 1 && onDelta != nil {
				onDelta()
			}
		}
		summary = summary || event.GetSummary() != nil
	}
}

// What any proxy must let through: whole streams as they come, the caller's deadline, and its going away.
func TestProxies(t *testing.T) {
	one, two := newBackend(t), newBackend(t)
	direct := connect(t, one.port, nil)
	conns := []*grpc.ClientConn{direct, connect(t, two.port, nil)}
	idle := func() bool { return one.busy(t.Context(), conns[0])+two.busy(t.Context(), conns[1]) == 0 }
	want, err := sluicev1.NewInferenceServiceClient(direct).Generate(t.Context(), story(48))
	if err != nil {
		t.Fatal(err)
	}
	for name, start := range map[string]func(*testing.T) *proxy{
		"envoy": func(t *testing.T) *proxy { return startEnvoy(t, 2, one.port, two.port) },
		"nginx": func(t *testing.T) *proxy { return startNginx(t, one.port, two.port) },
	} {
		t.Run(name, func(t *testing.T) {
			conn := connect(t, start(t).port, nil)
			t.Run("stream", func(t *testing.T) {
				running := false
				text, deltas, err := tell(t.Context(), conn, story(48), func() { running = !idle() })
				if err != nil || text != want.GetOutputs()[0].GetText() {
					t.Errorf("%v: %q, want %q", err, text, want.GetOutputs()[0].GetText())
				}
				if !running || deltas < 12 {
					t.Errorf("the stream came in %d pieces, the first while the server was at work: %v", deltas, running)
				}
			})
			t.Run("deadline", func(t *testing.T) {
				const told = `"grpc.request.deadline"` // in the line of a call that came with one
				before := strings.Count(one.log.String()+two.log.String(), told)
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				_, _, err := tell(ctx, conn, story(4000), nil)
				if status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("%v", err)
				}
				wait(t, "free slots", idle)
				// The server ends it, or refuses it at once if it knows by then that it would take too long.
				wait(t, "a server that knows the deadline", func() bool {
					return strings.Count(one.log.String()+two.log.String(), told) > before
				}, one.log, two.log)
			})
			t.Run("cancel", func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				if _, _, err := tell(ctx, conn, story(4000), cancel); status.Code(err) != codes.Canceled {
					t.Errorf("%v", err)
				}
				wait(t, "free slots", idle)
			})
			t.Run("refusal", func(t *testing.T) { // its code and details come through
				bad := story(4)
				bad.Model = "none such"
				_, _, err := tell(t.Context(), conn, bad, nil)
				if st := status.Convert(err); st.Code() != codes.NotFound || len(st.Details()) == 0 {
					t.Errorf("%v, details %v", err, st.Details())
				}
			})
		})
	}
}

// A deadline that passes in the middle of a stream is the server's to tell, in time to arrive as a status: if gRPC's own
// timer resets the stream, Envoy tells the client INTERNAL. The servers are new and have measured no speed by which they
// could have refused.
func TestDeadlineInAStream(t *testing.T) {
	envoy := startEnvoy(t, 2, newBackend(t).port, newBackend(t).port)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, deltas, err := tell(ctx, connect(t, envoy.port, nil), story(4000), nil)
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("after %d deltas: %v", deltas, err)
		}
		t.Logf("%d deltas before %v", deltas, err)
		cancel()
	}
}

// refusing says that it is healthy and answers every call with UNAVAILABLE.
func refusing(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		return status.Error(codes.Unavailable, "not today")
	}))
	healthy := health.NewServer()
	healthy.SetServingStatus("sluice.v1.InferenceService", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, healthy)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().(*net.TCPAddr).Port
}

// Envoy retries elsewhere what a server refuses as UNAVAILABLE, and takes that server out of rotation, so that nobody
// sees it fail.
func TestEnvoyRetriesAndEjects(t *testing.T) {
	good := newBackend(t)
	envoy := startEnvoy(t, 2, good.port, refusing(t))
	conn := connect(t, envoy.port, nil)
	for k := range 30 {
		if _, _, err := tell(t.Context(), conn, story(2), nil); err != nil {
			t.Fatalf("call %d: %v", k, err)
		}
	}
	if n := envoy.stat(t, "upstream_rq_retry"); n < 5 {
		t.Errorf("%d retries", n)
	}
	if n := envoy.stat(t, "outlier_detection.ejections_enforced_consecutive_gateway_failure"); n < 1 {
		t.Errorf("%d ejections", n)
	}
}

// Envoy stops to use a server when it turns NOT_SERVING, which is before it refuses anything.
func TestEnvoyFollowsHealth(t *testing.T) {
	one, two := newBackend(t), newBackend(t)
	envoy := startEnvoy(t, 2, one.port, two.port)
	one.stop()
	envoy.waitHealthy(t, 1)
	for range 10 {
		if _, _, err := tell(t.Context(), connect(t, envoy.port, nil), story(2), nil); err != nil {
			t.Error(err)
		}
	}
	if n := envoy.stat(t, "upstream_rq_retry"); n != 0 {
		t.Errorf("%d retries: a server was asked that is known to be gone", n)
	}
	one.start()
	envoy.waitHealthy(t, 2)
}

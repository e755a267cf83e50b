package sluice_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	sluice "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// scripted is a service whose answers a test writes, for what a real server does not do on demand.
type scripted struct {
	sluicev1.UnimplementedInferenceServiceServer
	generate func(context.Context, *sluicev1.GenerateRequest) (*sluicev1.GenerateResponse, error)
	stream   func(*sluicev1.GenerateRequest, grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse]) error
}

func (s *scripted) Generate(ctx context.Context, req *sluicev1.GenerateRequest) (*sluicev1.GenerateResponse, error) {
	return s.generate(ctx, req)
}

func (s *scripted) GenerateStream(
	req *sluicev1.GenerateRequest, stream grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse],
) error {
	return s.stream(req, stream)
}

// dial serves s in memory and returns a client of it.
func dial(t *testing.T, s *scripted, opts ...sluice.Option) *sluice.Client {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(16 << 20)) // as the real one
	sluicev1.RegisterInferenceServiceServer(server, s)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	opts = append(opts, sluice.WithDialOptions(grpc.WithContextDialer(
		func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) },
	)))
	client, err := sluice.New("passthrough:///localhost", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

func started(id string) *sluicev1.GenerateStreamResponse {
	return &sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Started{
		Started: &sluicev1.Started{Id: id},
	}}
}

func delta(text string) *sluicev1.GenerateStreamResponse {
	return &sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Delta{
		Delta: &sluicev1.Delta{Text: text},
	}}
}

func finished(why sluicev1.FinishReason) *sluicev1.GenerateStreamResponse {
	return &sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Finished{
		Finished: &sluicev1.Finished{FinishReason: why},
	}}
}

func summary(tokens uint32) *sluicev1.GenerateStreamResponse {
	return &sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Summary{
		Summary: &sluicev1.Summary{Usage: &sluicev1.Usage{CompletionTokens: tokens}},
	}}
}

// send is a stream of the events that ends with err.
func send(err error, events ...*sluicev1.GenerateStreamResponse) *scripted {
	return &scripted{stream: func(
		_ *sluicev1.GenerateRequest, stream grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse],
	) error {
		for _, event := range events {
			if err := stream.Send(event); err != nil {
				return err
			}
		}
		return err
	}}
}

// read joins the deltas up to the first error.
func read(deltas iter.Seq2[*sluicev1.Delta, error]) (string, error) {
	var text strings.Builder
	for delta, err := range deltas {
		if err != nil {
			return text.String(), err
		}
		text.WriteString(delta.GetText())
	}
	return text.String(), nil
}

func TestStream(t *testing.T) {
	t.Parallel()
	future := &sluicev1.GenerateStreamResponse{}
	client := dial(t, send(nil, started("r1"), delta("Rhine, "), future, delta("Rhône"),
		finished(sluicev1.FinishReason_FINISH_REASON_STOP), summary(5)))
	stream := client.Stream(t.Context(), sluice.Prompt("Two rivers:"))
	if stream.Started() != nil || stream.Summary() != nil {
		t.Error("the stream knows its events before it is read")
	}
	text, err := read(stream.Deltas())
	if err != nil || text != "Rhine, Rhône" {
		t.Fatalf("got %q, %v", text, err)
	}
	if got := stream.Started().GetId(); got != "r1" {
		t.Errorf("id %q", got)
	}
	if got := stream.Summary().GetUsage().GetCompletionTokens(); got != 5 {
		t.Errorf("%d tokens", got)
	}
	if got := stream.Finished(); len(got) != 1 || got[0].GetFinishReason() != sluicev1.FinishReason_FINISH_REASON_STOP {
		t.Errorf("finished: %v", got)
	}
	if _, err := read(stream.Deltas()); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a second reading gave %v", err)
	}
}

func TestStreamEventsLeaveOutUnknownOnes(t *testing.T) {
	t.Parallel()
	part := &sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Prompt{
		Prompt: &sluicev1.PromptPart{Logprobs: []*sluicev1.TokenLogprobs{{}, {}}},
	}}
	client := dial(t, send(nil, started("r1"), &sluicev1.GenerateStreamResponse{}, part, part, delta("a"), summary(1)))
	stream := client.Stream(t.Context(), sluice.Prompt("x"))
	var kinds []string
	for event, err := range stream.Events() {
		if err != nil {
			t.Fatal(err)
		}
		field := event.ProtoReflect().WhichOneof(event.ProtoReflect().Descriptor().Oneofs().ByName("event"))
		kinds = append(kinds, string(field.Name()))
	}
	if diff := cmp.Diff([]string{"started", "prompt", "prompt", "delta", "summary"}, kinds); diff != "" {
		t.Error(diff)
	}
	if n := len(stream.PromptLogprobs()); n != 4 {
		t.Errorf("the log-probabilities of %d tokens", n)
	}
}

func TestStreamThatEndsEarlyIsAnError(t *testing.T) {
	t.Parallel()
	client := dial(t, send(nil, started("r1"), delta("half")))
	text, err := read(client.Stream(t.Context(), sluice.Prompt("x")).Deltas())
	if text != "half" || status.Code(err) != codes.Internal {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestStreamErrorKeepsWhatCameBefore(t *testing.T) {
	t.Parallel()
	client := dial(t, send(status.Error(codes.Internal, "a fault"), started("r1"), delta("half")))
	stream := client.Stream(t.Context(), sluice.Prompt("x"))
	text, err := read(stream.Deltas())
	e, ok := errors.AsType[*sluice.Error](err)
	if text != "half" || !ok || e.Message() != "a fault" || e.Error() != "sluice: Internal: a fault" {
		t.Errorf("got %q, %v", text, err)
	}
	if stream.Started().GetId() != "r1" || stream.Summary() != nil {
		t.Errorf("started %v, summary %v", stream.Started(), stream.Summary())
	}
}

// endless sends deltas until its call is cancelled and then closes gone.
func endless(gone chan<- struct{}) *scripted {
	return &scripted{stream: func(
		_ *sluicev1.GenerateRequest, stream grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse],
	) error {
		defer close(gone)
		for stream.Context().Err() == nil {
			if err := stream.Send(delta("x")); err != nil {
				return err
			}
		}
		return status.FromContextError(stream.Context().Err()).Err()
	}}
}

func TestLeavingTheLoopCancels(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	client := dial(t, endless(gone))
	for _, err := range client.Stream(t.Context(), sluice.Prompt("x")).Deltas() {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	<-gone
}

func TestCancelledContextEndsTheStream(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	client := dial(t, endless(gone))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range client.Stream(ctx, sluice.Prompt("x")).Deltas() {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) || status.Code(last) != codes.Canceled {
		t.Errorf("ended with %v", last)
	}
	<-gone
}

func TestStreamNeverRead(t *testing.T) {
	t.Parallel()
	client := dial(t, &scripted{stream: func(
		*sluicev1.GenerateRequest, grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse],
	) error {
		t.Error("the call began")
		return nil
	}})
	_ = client.Stream(t.Context(), sluice.Prompt("x"))
}

// refuse fails every unary call with a status and details.
func refuse(t *testing.T, code codes.Code, details ...protoadapt.MessageV1) *scripted {
	t.Helper()
	st, err := status.New(code, "no").WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return &scripted{
		generate: func(context.Context, *sluicev1.GenerateRequest) (*sluicev1.GenerateResponse, error) {
			return nil, st.Err()
		},
	}
}

func generateError(t *testing.T, s *scripted) *sluice.Error {
	t.Helper()
	res, err := dial(t, s).Generate(t.Context(), sluice.Prompt("x"))
	e, ok := errors.AsType[*sluice.Error](err)
	if res != nil || !ok {
		t.Fatalf("got %v, %v", res, err)
	}
	return e
}

func TestErrorDetails(t *testing.T) {
	t.Parallel()
	t.Run("field violations", func(t *testing.T) {
		t.Parallel()
		e := generateError(t, refuse(t, codes.InvalidArgument, &errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "sampling.top_p", Description: "above 1"}},
		}))
		if v := e.FieldViolations(); len(v) != 1 || v[0].GetField() != "sampling.top_p" || v[0].GetDescription() != "above 1" {
			t.Errorf("violations %v", v)
		}
		if _, ok := e.RetryAfter(); ok {
			t.Error("a bad field is not worth a retry")
		}
	})
	t.Run("retry", func(t *testing.T) {
		t.Parallel()
		e := generateError(t, refuse(t, codes.ResourceExhausted,
			&errdetails.RetryInfo{RetryDelay: durationpb.New(250 * time.Millisecond)},
			&errdetails.ErrorInfo{Reason: "QUEUE_FULL"}))
		if after, ok := e.RetryAfter(); !ok || after != 250*time.Millisecond {
			t.Errorf("retry after %v, %v", after, ok)
		}
		if e.Reason() != "QUEUE_FULL" || status.Code(e) != codes.ResourceExhausted {
			t.Errorf("reason %q, code %v", e.Reason(), status.Code(e))
		}
	})
	t.Run("resource", func(t *testing.T) {
		t.Parallel()
		e := generateError(t, refuse(t, codes.NotFound, &errdetails.ResourceInfo{ResourceName: "gpt-9"}))
		if e.Resource() != "gpt-9" || len(e.FieldViolations()) != 0 || e.Reason() != "" {
			t.Errorf("resource %q, violations %v, reason %q", e.Resource(), e.FieldViolations(), e.Reason())
		}
	})
	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		e := generateError(t, refuse(t, codes.DeadlineExceeded))
		if !errors.Is(e, context.DeadlineExceeded) || errors.Is(e, context.Canceled) || errors.Is(e, io.EOF) {
			t.Errorf("%v is not a deadline", e)
		}
	})
}

func TestLargeResponse(t *testing.T) {
	t.Parallel()
	want := strings.Repeat("x", 5<<20) // gRPC's own limit is 4 MiB
	client := dial(t, &scripted{generate: func(
		context.Context, *sluicev1.GenerateRequest,
	) (*sluicev1.GenerateResponse, error) {
		return &sluicev1.GenerateResponse{Outputs: []*sluicev1.Output{{Text: want}}}, nil
	}})
	res, err := client.Generate(t.Context(), sluice.Prompt("x"))
	if err != nil || res.GetOutputs()[0].GetText() != want {
		t.Error(err)
	}
}

func TestAPIKey(t *testing.T) {
	t.Parallel()
	var got []string
	client := dial(t, &scripted{generate: func(
		ctx context.Context, _ *sluicev1.GenerateRequest,
	) (*sluicev1.GenerateResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		got = md.Get("authorization")
		return &sluicev1.GenerateResponse{Id: "r1"}, nil
	}}, sluice.WithAPIKey("secret"))
	res, err := client.Generate(t.Context(), sluice.Prompt("x"))
	if err != nil || res.GetId() != "r1" {
		t.Fatalf("got %v, %v", res, err)
	}
	if diff := cmp.Diff([]string{"Bearer secret"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, addr, want string
		opts             []sluice.Option
	}{
		{"clear-text key", "sluice.example:50051", "TLS", []sluice.Option{sluice.WithAPIKey("k")}},
		{"clear-text key to another address", "dns:///192.0.2.1:50051", "TLS", []sluice.Option{sluice.WithAPIKey("k")}},
		{"key with a line break", "localhost:1", "line break", []sluice.Option{sluice.WithAPIKey("k\nx: y")}},
		{"missing CA", "localhost:1", "no such file", []sluice.Option{sluice.WithCAFile(notPEM + "x")}},
		{"CA without a certificate", "localhost:1", "no PEM", []sluice.Option{sluice.WithCAFile(notPEM)}},
		{"address", "sluice.example:50051/\x00", "sluice.example", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client, err := sluice.New(c.addr, c.opts...)
			if client != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v", client, err)
			}
			if err != nil && strings.Contains(err.Error(), "k\n") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestNewAccepts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, addr string
		opts       []sluice.Option
	}{
		{"loopback", "127.0.0.1:50051", nil},
		{"loopback, IPv6", "[::1]:50051", nil},
		{"loopback by name", "dns:///localhost:50051", nil},
		{"unix", "unix:///run/sluice.sock", nil},
		{"TLS", "sluice.example:50051", []sluice.Option{sluice.WithTLS(nil)}},
		{"TLS with a config", "sluice.example:50051", []sluice.Option{sluice.WithTLS(&tls.Config{MinVersion: tls.VersionTLS13})}},
		{"clear text on purpose", "sluice.example:50051", []sluice.Option{sluice.WithClearTextAPIKey()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client, err := sluice.New(c.addr, append(c.opts, sluice.WithAPIKey("k"))...)
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNewFromConnLeavesTheConnectionOpen(t *testing.T) {
	t.Parallel()
	owner := dial(t, send(nil, summary(0)))
	borrower := sluice.NewFromConn(owner.Conn())
	if err := borrower.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := read(owner.Stream(t.Context(), sluice.Prompt("x")).Deltas()); err != nil {
		t.Errorf("after the borrower closed: %v", err)
	}
}

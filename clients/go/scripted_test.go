package sluice_test

import (
	"context"
	"iter"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/protoadapt"

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

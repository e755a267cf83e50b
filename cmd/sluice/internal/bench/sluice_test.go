package bench

import (
	"errors"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	client "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// scripted is a gRPC server whose answers a test writes.
type scripted struct {
	sluicev1.UnimplementedInferenceServiceServer
	stream func(*sluicev1.GenerateRequest, grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse]) error
}

// GenerateStream implements sluicev1.InferenceServiceServer.
func (s *scripted) GenerateStream(r *sluicev1.GenerateRequest, stream grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse]) error {
	return s.stream(r, stream)
}

func serveSluice(t *testing.T, s *scripted) *Sluice {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	sluicev1.RegisterInferenceServiceServer(server, s)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	connection, err := client.New(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := connection.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		<-served
	})
	return &Sluice{Client: connection, Model: "m", Temperature: 0.5, IgnoreEOS: true}
}

func TestSluice(t *testing.T) {
	t.Parallel()
	var got *sluicev1.GenerateRequest
	target := serveSluice(t, &scripted{stream: func(
		r *sluicev1.GenerateRequest, stream grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse],
	) error {
		got = r
		for _, ids := range [][]uint32{{1}, {2, 3}, nil, {4}} {
			if err := stream.Send(&sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Delta{
				Delta: &sluicev1.Delta{TokenIds: ids},
			}}); err != nil {
				return err
			}
		}
		return stream.Send(&sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Summary{
			Summary: &sluicev1.Summary{Usage: &sluicev1.Usage{PromptTokens: 2, CompletionTokens: 4, CachedTokens: 1}},
		}})
	}})
	total := 0
	usage, err := target.Generate(t.Context(), Request{IDs: []uint32{7, 8}, MaxTokens: 4}, func(n int) { total += n })
	if err != nil || total != 4 || usage != (Usage{Known: true, PromptTokens: 2, CompletionTokens: 4, CachedTokens: 1}) {
		t.Errorf("%d tokens, %+v, %v", total, usage, err)
	}
	sampling := got.GetSampling()
	if got.GetModel() != "m" || len(got.GetTokens().GetIds()) != 2 || sampling.GetMaxTokens() != 4 || !sampling.GetIgnoreEos() ||
		sampling.GetTemperature() != 0.5 || !got.GetOutput().GetTokenIds() {
		t.Errorf("asked %v", got)
	}
	if _, err := target.Generate(t.Context(), Request{Text: "time", MaxTokens: 4}, func(int) {}); err != nil || got.GetPrompt() != "time" {
		t.Errorf("asked %v, %v", got, err)
	}
}

func TestSluiceFailure(t *testing.T) {
	t.Parallel()
	target := serveSluice(t, &scripted{stream: func(
		*sluicev1.GenerateRequest, grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse],
	) error {
		return status.Error(codes.ResourceExhausted, "the queue is full")
	}})
	_, err := target.Generate(t.Context(), Request{Text: "x", MaxTokens: 1}, func(int) {})
	failure, ok := errors.AsType[*FailureError](err)
	if !ok || failure.Status != "RESOURCE_EXHAUSTED" {
		t.Errorf("got %v", err)
	}
	if refusal, ok := errors.AsType[*client.Error](err); !ok || refusal.Message() != "the queue is full" {
		t.Errorf("the cause is lost: %v", err)
	}
}

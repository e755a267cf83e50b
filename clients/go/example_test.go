package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	sluice "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// rivers is a server for the examples: it knows one answer.
type rivers struct {
	sluicev1.UnimplementedInferenceServiceServer
}

func (rivers) Generate(_ context.Context, req *sluicev1.GenerateRequest) (*sluicev1.GenerateResponse, error) {
	if req.GetSampling().GetTopP() > 1 {
		st, err := status.New(codes.InvalidArgument, "invalid request").WithDetails(&errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{
				{Field: "sampling.top_p", Description: "must be above 0 and at most 1"},
			},
		})
		if err != nil {
			return nil, fmt.Errorf("add details: %w", err)
		}
		return nil, st.Err()
	}
	return &sluicev1.GenerateResponse{
		Outputs: []*sluicev1.Output{{Text: "Rhine, Rhône, Ticino", FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP}},
		Usage:   &sluicev1.Usage{PromptTokens: 6, CompletionTokens: 9},
	}, nil
}

func (rivers) GenerateStream(
	_ *sluicev1.GenerateRequest, stream grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse],
) error {
	return errors.Join(
		stream.Send(started("r1")), stream.Send(delta("Rhine, ")), stream.Send(delta("Rhône, ")),
		stream.Send(delta("Ticino")), stream.Send(finished(sluicev1.FinishReason_FINISH_REASON_STOP)),
		stream.Send(summary(9)),
	)
}

// connect makes a client of the examples' server. A program calls sluice.New("127.0.0.1:50051").
func connect() (*sluice.Client, func()) {
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	sluicev1.RegisterInferenceServiceServer(server, rivers{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	client, err := sluice.New("passthrough:///localhost", sluice.WithDialOptions(grpc.WithContextDialer(
		func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) },
	)))
	if err != nil {
		panic(err)
	}
	return client, func() {
		_ = client.Close()
		server.Stop()
		<-done
	}
}

func ExampleClient_Generate() {
	client, stop := connect() // sluice.New("127.0.0.1:50051")
	defer stop()

	req := sluice.Prompt("Three Swiss rivers:")
	req.Sampling = &sluicev1.Sampling{MaxTokens: new(uint32(16)), Temperature: new(float32(0))}
	res, err := client.Generate(context.Background(), req)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.GetOutputs()[0].GetText())
	fmt.Println(res.GetUsage().GetCompletionTokens(), "tokens")
	// Output:
	// Rhine, Rhône, Ticino
	// 9 tokens
}

func ExampleClient_Stream() {
	client, stop := connect() // sluice.New("127.0.0.1:50051")
	defer stop()

	stream := client.Stream(context.Background(), sluice.Chat(
		sluice.System("Answer in one line."),
		sluice.User("Name three Swiss rivers."),
	))
	for delta, err := range stream.Deltas() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(delta.GetText())
	}
	fmt.Println("\n" + stream.Finished()[0].GetFinishReason().String())
	fmt.Println(stream.Summary().GetUsage().GetCompletionTokens(), "tokens")
	// Output:
	// Rhine, Rhône, Ticino
	// FINISH_REASON_STOP
	// 9 tokens
}

// Leaving the loop cancels the request in the server.
func ExampleStream_Deltas() {
	client, stop := connect() // sluice.New("127.0.0.1:50051")
	defer stop()

	for delta, err := range client.Stream(context.Background(), sluice.Prompt("Three Swiss rivers:")).Deltas() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(delta.GetText())
		break
	}
	// Output: Rhine,
}

func ExampleError() {
	client, stop := connect() // sluice.New("127.0.0.1:50051")
	defer stop()

	req := sluice.Prompt("Three Swiss rivers:")
	req.Sampling = &sluicev1.Sampling{TopP: new(float32(1.5))}
	_, err := client.Generate(context.Background(), req)
	if e, ok := errors.AsType[*sluice.Error](err); ok {
		fmt.Println(e.Code())
		for _, v := range e.FieldViolations() {
			fmt.Println(v.GetField(), v.GetDescription())
		}
	}
	// Output:
	// InvalidArgument
	// sampling.top_p must be above 0 and at most 1
}

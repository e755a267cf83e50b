package bench

import (
	"context"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/status"

	client "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// Sluice is a server that speaks sluice.v1 over gRPC.
type Sluice struct {
	// Client is the connection: all requests share it.
	Client *client.Client
	// Model is the name of the model; empty: the default one.
	Model string
	Sampling
}

// Sampling is what all requests ask for.
type Sampling struct {
	Temperature float64
	// IgnoreEOS asks to go on after the end token, so that every answer has the length that was drawn.
	IgnoreEOS bool
}

// Generate implements [Target].
func (s *Sluice) Generate(ctx context.Context, request Request, delta func(tokens int)) (Usage, error) {
	message := client.Tokens(request.IDs...)
	if request.IDs == nil {
		message = client.Prompt(request.Text)
	}
	message.Model = s.Model
	message.Sampling = &sluicev1.Sampling{
		MaxTokens:   new(uint32(request.MaxTokens)),
		Temperature: new(float32(s.Temperature)),
		IgnoreEos:   new(s.IgnoreEOS),
	}
	message.Output = &sluicev1.OutputOptions{TokenIds: true} // to count them
	stream := s.Client.Stream(ctx, message)
	for d, err := range stream.Deltas() { //nolint:contextcheck // the stream has ctx
		if err != nil {
			return Usage{}, &FailureError{Status: code.Code(status.Code(err)).String(), Err: err}
		}
		delta(len(d.GetTokenIds()))
	}
	usage := stream.Summary().GetUsage()
	return Usage{
		Known:        usage != nil,
		PromptTokens: int(usage.GetPromptTokens()), CachedTokens: int(usage.GetCachedTokens()),
		CompletionTokens: int(usage.GetCompletionTokens()),
	}, nil
}

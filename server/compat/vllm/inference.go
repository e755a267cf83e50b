package vllm

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	vllmpb "github.com/sluiceml/sluice/proto/vllm"
	"github.com/sluiceml/sluice/server/compat/local"
)

// InferenceService is vllm.Inference.
type InferenceService struct {
	vllmpb.UnimplementedInferenceServer

	native    sluicev1.InferenceServiceServer
	tokenizer sluicev1.TokenizerServiceServer
}

// NewInference makes the service on top of the native ones.
func NewInference(native sluicev1.InferenceServiceServer, tokenizer sluicev1.TokenizerServiceServer) *InferenceService {
	return &InferenceService{native: native, tokenizer: tokenizer}
}

// Generate runs a request for one sequence to its end.
func (s *InferenceService) Generate(ctx context.Context, in *vllmpb.GenerateRequest) (*vllmpb.GenerateResponse, error) {
	if in.GetSampling().GetNumSequences() > 1 {
		return nil, inference.Invalid("sampling.num_sequences", "must be at most 1: the answer has room for one sequence; use GenerateStream")
	}
	request, err := convert(in)
	if err != nil {
		return nil, err
	}
	answer, err := s.native.Generate(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("vllm: %w", err)
	}
	a := answers{request: in}
	output := answer.GetOutputs()[0]
	piece := a.piece(output.GetIndex(), output.GetText(), output.GetTokenIds(), output.GetLogprobs())
	piece.FinishInfo = a.finish(output.GetIndex(), output.GetFinishReason(), output.GetStopSequence())
	return &vllmpb.GenerateResponse{
		PromptInfo: a.promptInfo(answer.GetUsage().GetPromptTokens(), answer.GetPromptLogprobs()), Outputs: piece,
	}, nil
}

// GenerateStream runs a request and sends each sequence's pieces.
func (s *InferenceService) GenerateStream(in *vllmpb.GenerateRequest, out grpc.ServerStreamingServer[vllmpb.GenerateResponse]) error {
	ctx := out.Context()
	request, err := convert(in)
	if err != nil {
		return err
	}
	a := answers{request: in}
	var info *vllmpb.PromptInfo // not sent yet
	var prompted []*sluicev1.TokenLogprobs
	send := func(piece *vllmpb.SequenceOutput) error {
		if info != nil {
			info = a.promptInfo(info.GetNumPromptTokens(), prompted)
		}
		response := &vllmpb.GenerateResponse{PromptInfo: info, Outputs: piece}
		info = nil
		return out.Send(response)
	}
	err = s.native.GenerateStream(request, local.NewStream(ctx, func(event *sluicev1.GenerateStreamResponse) error {
		switch event := event.GetEvent().(type) {
		case *sluicev1.GenerateStreamResponse_Started: // admitted: from here on a costly answer is due
			length, err := s.promptLength(ctx, request)
			info = &vllmpb.PromptInfo{NumPromptTokens: length}
			return err
		case *sluicev1.GenerateStreamResponse_Prompt:
			prompted = append(prompted, event.Prompt.GetLogprobs()...)
		case *sluicev1.GenerateStreamResponse_Delta:
			d := event.Delta
			return send(a.piece(d.GetIndex(), d.GetText(), d.GetTokenIds(), d.GetLogprobs()))
		case *sluicev1.GenerateStreamResponse_Finished:
			f := event.Finished
			return send(&vllmpb.SequenceOutput{
				Index: f.GetIndex(), FinishInfo: a.finish(f.GetIndex(), f.GetFinishReason(), f.GetStopSequence()),
			})
		}
		return nil
	}))
	if err != nil {
		return fmt.Errorf("vllm: %w", err)
	}
	return nil
}

// promptLength is the number of a prompt's tokens, which the native stream tells only at its end. It is asked for once the
// request is admitted, since to encode the prompt is what a refusal, for a quota that is spent or a queue that is full,
// saves. So it may outlast a stream that ends at that moment, by the time that its prompt takes to encode, and touches
// nothing of it but its request.
func (s *InferenceService) promptLength(ctx context.Context, request *sluicev1.GenerateRequest) (uint32, error) {
	length := uint32(len(request.GetTokens().GetIds())) //nolint:gosec // admitted: at most the context's
	if text := request.GetPrompt(); text != "" {
		counted, err := s.tokenizer.CountTokens(ctx, &sluicev1.CountTokensRequest{
			Model: request.GetModel(), Input: &sluicev1.CountTokensRequest_Prompt{Prompt: text},
		})
		if err != nil {
			return 0, fmt.Errorf("count the prompt: %w", err)
		}
		length = counted.GetCount()
	}
	if most := request.TruncatePromptTokens; most != nil {
		length = min(length, *most)
	}
	return length, nil
}

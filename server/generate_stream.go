package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// GenerateStream runs a request and sends its text as it comes.
//
// Nothing is sent before the request is admitted, so that a refusal is the call's status and not the end of an open
// stream. A client that reads slowly blocks Send, and meanwhile the stream of updates joins them: it costs two goroutines
// and its slot, and its later deltas are longer. One that has read nothing for too long loses its slot, and the call
// ends although Send is still blocked. A client that goes away ends ctx, which ends Next and Send.
func (s *inferenceService) GenerateStream(
	in *sluicev1.GenerateRequest, out grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse],
) error {
	ctx := out.Context()
	run, err := s.start(ctx, in)
	if err != nil {
		return err
	}
	defer run.close()
	defer run.describe(ctx)
	carrier := &courier{ctx: ctx, forward: out.Send, stalled: run.updates.Stalled()}
	err = carrier.run(func() error { return run.send(ctx, sender{ctx: ctx, send: carrier.send}) })
	for errors.Is(err, errStalled) { // skip what the client did not take: the error is behind it
		if _, cause := run.updates.Next(ctx); cause != nil {
			err = fmt.Errorf("generate: %w", cause)
		}
	}
	return err
}

// send sends all events of an admitted request.
func (r running) send(ctx context.Context, to sender) error {
	if err := to.started(r.request.ID, r.model); err != nil {
		return err
	}
	if err := pump(ctx, r.updates, to, r.outputs()); err != nil {
		return err
	}
	return to.summary(r.updates.Summary())
}

// maxPromptPart is the number of the prompt's tokens that one event tells about.
const maxPromptPart = 512

// sender is a sink that sends each update as events.
type sender struct {
	ctx  context.Context //nolint:containedctx // lives as long as the one call that it belongs to
	send func(*sluicev1.GenerateStreamResponse) error
}

func (s sender) started(id, model string) error {
	return s.event(&sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Started{
		Started: &sluicev1.Started{Id: id, Model: model},
	}})
}

// prompt sends in pieces what may be too much for one message: a token with 20 others is about a kilobyte.
func (s sender) prompt(logprobs []inference.TokenLogprobs) error {
	for part := range slices.Chunk(logprobs, maxPromptPart) {
		err := s.event(&sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Prompt{
			Prompt: &sluicev1.PromptPart{Logprobs: tokenLogprobs(part)},
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s sender) delta(update inference.Update) error {
	return s.event(&sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Delta{
		Delta: &sluicev1.Delta{
			Index: count(update.Index), Text: update.Text, TokenIds: update.TokenIDs,
			Logprobs: tokenLogprobs(update.Logprobs), Reasoning: update.Reasoning, ToolCalls: toolCallDeltas(update.Calls),
			SamplingTrace: samplingTraces(update.Traces),
		},
	}})
}

func (s sender) finished(index int, finish inference.Finish) error {
	return s.event(&sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Finished{
		Finished: &sluicev1.Finished{
			Index:        count(index),
			FinishReason: finishReason(finish.Reason),
			StopSequence: finish.StopSequence,
			Seed:         finish.Seed,
		},
	}})
}

func (s sender) summary(summary inference.Summary) error {
	return s.event(&sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Summary{
		Summary: &sluicev1.Summary{Usage: usage(summary.Usage), Timings: timings(summary.Timings)},
	}})
}

// event sends one event. It makes a new message each time: interceptors and stats handlers may still read the last.
func (s sender) event(event *sluicev1.GenerateStreamResponse) error {
	err := s.send(event)
	if err != nil && s.ctx.Err() != nil {
		return s.ctx.Err() // the client went away, whatever the transport calls it
	}
	return err
}

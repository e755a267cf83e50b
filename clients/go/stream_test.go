package sluice_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluice "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

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

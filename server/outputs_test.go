package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// sampledFrom is a request for up to 30 tokens that draws from a seed on.
func sampledFrom(prompt string, seed uint64) *sluicev1.GenerateRequest {
	in := greedy(prompt, 30)
	in.Sampling.Temperature, in.Sampling.Seed = proto.Float32(1.3), new(seed)
	in.Output = &sluicev1.OutputOptions{TokenIds: true, Logprobs: proto.Uint32(1)}
	return in
}

// outputsOf joins a stream of several outputs into what the unary call would answer.
func outputsOf(t *testing.T, client sluicev1.InferenceServiceClient, in *sluicev1.GenerateRequest) ([]*sluicev1.Output, *sluicev1.Usage) {
	t.Helper()
	call, err := client.GenerateStream(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var usage *sluicev1.Usage
	outputs := make([]*sluicev1.Output, in.GetSampling().GetN())
	for i := range outputs {
		outputs[i] = &sluicev1.Output{Index: uint32(i)}
	}
	for {
		event, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return outputs, usage
		}
		if err != nil {
			t.Fatal(err)
		}
		switch event := event.GetEvent().(type) {
		case *sluicev1.GenerateStreamResponse_Delta:
			o := outputs[event.Delta.GetIndex()]
			if o.GetFinishReason() != 0 {
				t.Errorf("a delta of output %d after its end", o.GetIndex())
			}
			o.Text += event.Delta.GetText()
			o.TokenIds = append(o.TokenIds, event.Delta.GetTokenIds()...)
			o.Logprobs = append(o.Logprobs, event.Delta.GetLogprobs()...)
		case *sluicev1.GenerateStreamResponse_Finished:
			o := outputs[event.Finished.GetIndex()]
			o.FinishReason, o.StopSequence = event.Finished.GetFinishReason(), event.Finished.GetStopSequence()
			o.Seed = event.Finished.GetSeed()
		case *sluicev1.GenerateStreamResponse_Summary:
			usage = event.Summary.GetUsage()
		}
	}
}

// checkOutputs holds n outputs, unary and streamed, to n requests of their own with seeds one after the other.
func checkOutputs(t *testing.T, client sluicev1.InferenceServiceClient, prompt string, n uint32) {
	t.Helper()
	in := sampledFrom(prompt, 100)
	in.Sampling.N = new(n)
	whole, err := client.Generate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	streamed, usage := outputsOf(t, client, in)
	if diff := cmp.Diff(whole.GetOutputs(), streamed, protocmp.Transform()); diff != "" {
		t.Errorf("outputs (-unary +streamed):\n%s", diff)
	}
	var prompted, completed uint32
	for i, output := range whole.GetOutputs() {
		alone, err := client.Generate(t.Context(), sampledFrom(prompt, 100+uint64(i)))
		if err != nil {
			t.Fatal(err)
		}
		want := alone.GetOutputs()[0]
		want.Index = uint32(i)
		if diff := cmp.Diff(want, output, protocmp.Transform()); diff != "" {
			t.Errorf("output %d (-alone +one of %d):\n%s", i, n, diff)
		}
		prompted = alone.GetUsage().GetPromptTokens()
		completed += alone.GetUsage().GetCompletionTokens()
	}
	for _, u := range []*sluicev1.Usage{usage, whole.GetUsage()} {
		if u.GetPromptTokens() != prompted || u.GetCompletionTokens() != completed {
			t.Errorf("usage %v, want a prompt of %d and %d tokens", u, prompted, completed)
		}
	}
}

// Several outputs are as many requests of their own, with slots for all of them or not.
func TestSeveralOutputs(t *testing.T) {
	t.Parallel()
	for _, slots := range []int{1, 3, 16} {
		t.Run(fmt.Sprintf("%d slots", slots), func(t *testing.T) {
			t.Parallel()
			i := start(t, servertest.Toy{Session: inferencetest.ToyConfig{
				Limits: runner.Limits{Slots: slots, MaxLength: 256, MaxChunk: 16},
			}})
			checkOutputs(t, generator(i), "tell me several things about sluices", 6)
			idle(t, i)
		})
	}
}

// Echo begins each output, log-probabilities of the prompt come once.
func TestSeveralOutputsEcho(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	in := sampledFrom("hello", 7)
	in.Sampling.N, in.Sampling.MaxTokens, in.Sampling.AllowedTokenIds = proto.Uint32(3), proto.Uint32(1), []uint32{'x'}
	in.Output = &sluicev1.OutputOptions{Echo: true, PromptLogprobs: proto.Uint32(0)}
	got, err := generator(i).Generate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.GetOutputs()) != 3 || len(got.GetPromptLogprobs()) != 6 {
		t.Fatalf("got %v", got)
	}
	for k, output := range got.GetOutputs() {
		if output.GetText() != "hellox" || output.GetSeed() != 7+uint64(k) {
			t.Errorf("output %v", output)
		}
	}
}

// A cancelled call frees the slots of all its outputs, those that wait included.
func TestSeveralOutputsCancelled(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{Session: inferencetest.ToyConfig{
		Limits:     runner.Limits{Slots: 3, MaxLength: 1 << 14, MaxChunk: 16},
		BeforeStep: func(runner.Step) error { time.Sleep(time.Millisecond); return nil }, //nolint:forbidigo // a slow model
	}})
	ctx, cancel := context.WithCancel(t.Context())
	in := sampledFrom("hi", 1)
	in.Sampling.N, in.Sampling.MaxTokens, in.Sampling.IgnoreEos = proto.Uint32(5), proto.Uint32(10000), new(true)
	call, err := generator(i).GenerateStream(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, err := call.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	for err == nil {
		_, err = call.Recv()
	}
	wantStatus(t, err, codes.Canceled)
	idle(t, i)

	// A deadline too, whether it is noticed by those that run or by those that wait.
	late, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	_, err = generator(i).Generate(late, in)
	wantStatus(t, err, codes.DeadlineExceeded)
	idle(t, i)
}

// A request may have more outputs than there are slots and places in the queue: it takes one place, and they run one after
// the other.
func TestMoreOutputsThanSlots(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{
		Session: inferencetest.ToyConfig{Limits: runner.Limits{Slots: 2, MaxLength: 256, MaxChunk: 16}},
		Engine:  engine.Config{QueueLimit: 3},
	})
	checkOutputs(t, generator(i), "eight", 8)
}

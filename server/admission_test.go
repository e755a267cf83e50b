package server_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/server/servertest"
)

// unhurried is a model of one slot whose steps take a tenth of a second.
func unhurried(config engine.Config) servertest.Toy {
	return servertest.Toy{
		Session: inferencetest.ToyConfig{
			Limits: runner.Limits{Slots: 1, MaxLength: 256, MaxChunk: 16},
			BeforeStep: func(runner.Step) error {
				<-time.After(100 * time.Millisecond)
				return nil
			},
		},
		Engine: config,
	}
}

// A request whose deadline cannot be met by the measured speed is refused before anything is sent, and says what it would
// have needed.
func TestTooLate(t *testing.T) {
	t.Parallel()
	i := start(t, unhurried(engine.Config{}))
	in := greedy("hi", 200)
	in.Sampling.IgnoreEos = new(true) // 20 s
	short := proto.CloneOf(in)
	short.Sampling.MaxTokens = proto.Uint32(2)
	if _, err := generator(i).Generate(t.Context(), short); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	call, err := generator(i).GenerateStream(ctx, in)
	if err == nil {
		_, err = call.Recv() // the very first event
	}
	info := detail[*errdetails.ErrorInfo](t, wantStatus(t, err, codes.DeadlineExceeded))
	if info.GetReason() != "TOO_LATE" || info.GetMetadata()["need"] == "" || info.GetMetadata()["left"] == "" {
		t.Errorf("got %v", info)
	}
	idle(t, i)
}

// Prompts that wait are bounded by their tokens, and a refusal says which bound it was and when to come again.
func TestQueueOfTokens(t *testing.T) {
	t.Parallel()
	i := start(t, unhurried(engine.Config{QueueTokens: 20}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 2 { // one runs, one waits
		call, err := generator(i).GenerateStream(ctx, greedy("a prompt of some tokens", 200))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := call.Recv(); err != nil { // admitted
			t.Fatal(err)
		}
	}
	_, err := generator(i).Generate(t.Context(), greedy("another prompt", 1))
	st := wantStatus(t, err, codes.ResourceExhausted)
	if info := detail[*errdetails.ErrorInfo](t, st); info.GetReason() != "QUEUE_FULL" || info.GetMetadata()["of"] != "tokens" {
		t.Errorf("got %v", info)
	}
	if wait := detail[*errdetails.RetryInfo](t, st).GetRetryDelay().AsDuration(); wait <= 0 {
		t.Errorf("retry after %s", wait)
	}
	cancel()
	idle(t, i)
}

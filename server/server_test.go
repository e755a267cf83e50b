package server_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/servertest"
)

func TestMain(m *testing.M) {
	encoding.RegisterCompressor(&fused) // here, since gRPC's table of them has no lock
	goleak.VerifyTestMain(m)
}

// start serves one toy model.
func start(t *testing.T, toy servertest.Toy, configure ...func(*server.Config)) *servertest.Instance {
	t.Helper()
	return servertest.Start(t, []*inference.Model{toy.Model(t)}, configure...)
}

func generator(i *servertest.Instance) sluicev1.InferenceServiceClient {
	return sluicev1.NewInferenceServiceClient(i.Conn)
}

// speak makes a toy say a text and then end, whatever the prompt of the given length was.
func speak(prompt int, text string) inferencetest.ToyConfig {
	return inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: 4, MaxLength: 256, MaxChunk: 16},
		Script: func(history []uint32) (uint32, bool) {
			if said := len(history) - prompt; said < len(text) {
				return uint32(text[said]), true
			}
			return servertest.TurnEnd, true
		},
	}
}

// greedy is a request that takes the most likely tokens.
func greedy(prompt string, maxTokens uint32) *sluicev1.GenerateRequest {
	return &sluicev1.GenerateRequest{
		Input:    &sluicev1.GenerateRequest_Prompt{Prompt: prompt},
		Sampling: &sluicev1.Sampling{Temperature: proto.Float32(0), MaxTokens: &maxTokens},
	}
}

// told is what a stream has sent.
type told struct {
	started  *sluicev1.Started
	text     string
	ids      []uint32
	prompt   []*sluicev1.TokenLogprobs
	logprobs []*sluicev1.TokenLogprobs
	deltas   []string
	all      []*sluicev1.Delta
	finished *sluicev1.Finished
	summary  *sluicev1.Summary
}

// read reads a stream to its end and checks the order of its events.
func (all *told) read(t *testing.T, stream grpc.ServerStreamingClient[sluicev1.GenerateStreamResponse]) error {
	t.Helper()
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if all.summary == nil {
				t.Error("the stream ended in success without a summary")
			}
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // the status is what is tested
		}
		if all.summary != nil {
			t.Errorf("%v after the summary", event)
		}
		switch event := event.GetEvent().(type) {
		case *sluicev1.GenerateStreamResponse_Started:
			if all.started != nil || all.deltas != nil || all.finished != nil {
				t.Error("started is not the first event")
			}
			all.started = event.Started
		case *sluicev1.GenerateStreamResponse_Delta:
			if all.started == nil || all.finished != nil {
				t.Error("a delta out of place")
			}
			all.text += event.Delta.GetText()
			all.ids = append(all.ids, event.Delta.GetTokenIds()...)
			all.logprobs = append(all.logprobs, event.Delta.GetLogprobs()...)
			all.deltas = append(all.deltas, event.Delta.GetText())
			all.all = append(all.all, event.Delta)
		case *sluicev1.GenerateStreamResponse_Prompt:
			if all.started == nil || all.deltas != nil || all.finished != nil {
				t.Error("a part of the prompt out of place")
			}
			all.prompt = append(all.prompt, event.Prompt.GetLogprobs()...)
		case *sluicev1.GenerateStreamResponse_Finished:
			if all.finished != nil {
				t.Error("finished twice")
			}
			all.finished = event.Finished
		case *sluicev1.GenerateStreamResponse_Summary:
			if all.finished == nil {
				t.Error("a summary before the end")
			}
			all.summary = event.Summary
		default:
			t.Errorf("event %v", event)
		}
	}
}

// stream runs a request as a stream.
func stream(ctx context.Context, t *testing.T, client sluicev1.InferenceServiceClient, in *sluicev1.GenerateRequest) (told, error) {
	t.Helper()
	calls, err := client.GenerateStream(ctx, in)
	if err != nil {
		t.Fatal(err) // a stream reports its status when it is read
	}
	var all told
	err = all.read(t, calls)
	return all, err
}

// mustStream runs a request as a stream that must succeed.
func mustStream(t *testing.T, client sluicev1.InferenceServiceClient, in *sluicev1.GenerateRequest) told {
	t.Helper()
	all, err := stream(t.Context(), t, client, in)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wantStatus checks an error's code.
func wantStatus(t *testing.T, err error, code codes.Code) *status.Status {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != code {
		t.Errorf("got %v, want %v", err, code)
	}
	return st
}

// detail finds a detail of a type in a status.
func detail[T proto.Message](t *testing.T, st *status.Status) T {
	t.Helper()
	for _, d := range st.Details() {
		if found, ok := d.(T); ok {
			return found
		}
	}
	var none T
	t.Errorf("%v has no %T: %v", st, none, st.Details())
	return none
}

// violations are the fields that a status finds fault with.
func violations(t *testing.T, st *status.Status) string {
	t.Helper()
	var fields []string
	for _, violation := range detail[*errdetails.BadRequest](t, st).GetFieldViolations() {
		fields = append(fields, violation.GetField())
	}
	return strings.Join(fields, " ")
}

// idle waits until no request runs or waits, as ListModels says.
func idle(t *testing.T, i *servertest.Instance) {
	t.Helper()
	client := sluicev1.NewModelServiceClient(i.Conn)
	for {
		models, err := client.ListModels(t.Context(), &sluicev1.ListModelsRequest{})
		if err != nil {
			t.Fatalf("the server did not come to rest: %v", err)
		}
		var busy uint32
		for _, model := range models.GetModels() {
			for _, replica := range model.GetReplicas() {
				busy += replica.GetRunning() + replica.GetWaiting()
			}
		}
		if busy == 0 {
			return
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // between two looks; in a bubble it lets the engine go on
	}
}

package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// The whole answer, field by field.
func TestGenerate(t *testing.T) {
	t.Parallel()
	const text = "Zürich 🚀 時"
	i := start(t, servertest.Toy{Session: speak(1+len("hi"), text)})
	in := greedy("hi", 100)
	in.Model, in.RequestId = "default", "mine"
	in.Output = &sluicev1.OutputOptions{TokenIds: true}
	in.Sampling.Seed = proto.Uint64(7)
	got, err := generator(i).Generate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]uint32, 0, len(text)+1)
	for b := range len(text) {
		ids = append(ids, uint32(text[b]))
	}
	ids = append(ids, servertest.TurnEnd)
	want := &sluicev1.GenerateResponse{
		Id: "mine", Model: "toy",
		Outputs: []*sluicev1.Output{{
			Text: text, TokenIds: ids, FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP, Seed: 7,
		}},
		Usage: &sluicev1.Usage{PromptTokens: 3, CompletionTokens: uint32(len(ids))},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(want, "timings")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if took := got.GetTimings().GetTimeToFirstToken().AsDuration(); took <= 0 {
		t.Errorf("time to first token %v", took)
	}
}

// A stream tells the same as the whole answer, never splits a character, and leaves out deltas that say nothing.
func TestStreamEqualsUnary(t *testing.T) {
	t.Parallel()
	const text = "naïve 🤷🏽‍♀️ 中文 done"
	for _, ids := range []bool{false, true} {
		t.Run(fmt.Sprintf("ids=%t", ids), func(t *testing.T) {
			t.Parallel()
			i := start(t, servertest.Toy{Session: speak(1+len("hi"), text)})
			in := greedy("hi", 200)
			in.Sampling.Seed = proto.Uint64(1)
			in.RequestId = "same"
			in.Output = &sluicev1.OutputOptions{TokenIds: ids}
			whole, err := generator(i).Generate(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			got := mustStream(t, generator(i), in)
			output := whole.GetOutputs()[0]
			if got.text != text || output.GetText() != text {
				t.Errorf("streamed %q, unary %q, want %q", got.text, output.GetText(), text)
			}
			if diff := cmp.Diff(output.GetTokenIds(), got.ids); diff != "" {
				t.Errorf("ids (-unary +stream):\n%s", diff)
			}
			for _, delta := range got.deltas {
				if !utf8.ValidString(delta) || strings.ContainsRune(delta, utf8.RuneError) {
					t.Errorf("delta %q splits a character", delta)
				}
				if delta == "" && !ids {
					t.Error("a delta without text")
				}
			}
			if diff := cmp.Diff(&sluicev1.Started{Id: "same", Model: "toy"}, got.started, protocmp.Transform()); diff != "" {
				t.Errorf("started (-want +got):\n%s", diff)
			}
			if got.finished.GetFinishReason() != output.GetFinishReason() || got.finished.GetSeed() != output.GetSeed() {
				t.Errorf("finished %v, unary %v", got.finished, output)
			}
			if diff := cmp.Diff(whole.GetUsage(), got.summary.GetUsage(), protocmp.Transform()); diff != "" {
				t.Errorf("usage (-unary +stream):\n%s", diff)
			}
		})
	}
}

// Every way to end, and what the request's own options change.
func TestFinish(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{Session: speak(1+len("hi"), "one two three")})
	for _, test := range []struct {
		name   string
		change func(*sluicev1.GenerateRequest)
		want   *sluicev1.Output
	}{
		{"the model's end", func(*sluicev1.GenerateRequest) {}, &sluicev1.Output{
			Text: "one two three", FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP,
		}},
		{"max_tokens", func(in *sluicev1.GenerateRequest) { in.Sampling.MaxTokens = proto.Uint32(5) }, &sluicev1.Output{
			Text: "one t", FinishReason: sluicev1.FinishReason_FINISH_REASON_LENGTH,
		}},
		{"stop string", func(in *sluicev1.GenerateRequest) {
			in.Stop = &sluicev1.Stop{Strings: []string{"never", " tw"}}
		}, &sluicev1.Output{
			Text: "one", FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP_SEQUENCE, StopSequence: " tw",
		}},
		{"stop string kept", func(in *sluicev1.GenerateRequest) {
			in.Stop = &sluicev1.Stop{Strings: []string{" tw"}, IncludeInOutput: true}
		}, &sluicev1.Output{
			Text: "one tw", FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP_SEQUENCE, StopSequence: " tw",
		}},
		{"stop id", func(in *sluicev1.GenerateRequest) {
			in.Stop = &sluicev1.Stop{TokenIds: []uint32{'w'}}
		}, &sluicev1.Output{
			Text: "one t", FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP_SEQUENCE, StopSequence: "w",
		}},
		{"ignore_eos", func(in *sluicev1.GenerateRequest) {
			in.Sampling.IgnoreEos, in.Sampling.MaxTokens = new(true), proto.Uint32(15)
			in.Output = &sluicev1.OutputOptions{SkipSpecialTokens: new(false)}
		}, &sluicev1.Output{
			Text: "one two three<|im_end|><|im_end|>", FinishReason: sluicev1.FinishReason_FINISH_REASON_LENGTH,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := greedy("hi", 100)
			in.Sampling.Seed = proto.Uint64(3)
			test.change(in)
			got, err := generator(i).Generate(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			test.want.Seed = 3
			if diff := cmp.Diff([]*sluicev1.Output{test.want}, got.GetOutputs(), protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if streamed := mustStream(t, generator(i), in); streamed.text != test.want.GetText() ||
				streamed.finished.GetStopSequence() != test.want.GetStopSequence() {
				t.Errorf("streamed %q, %v", streamed.text, streamed.finished)
			}
		})
	}
}

// The three inputs reach the model as the contract says; the drawn seed and id come back and give the same again.
func TestInputs(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	client := generator(i)
	for _, test := range []struct {
		name   string
		in     *sluicev1.GenerateRequest
		tokens uint32
	}{
		{"prompt", &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Prompt{Prompt: "a<|im_end|>"}}, 3},
		{"prompt as text", &sluicev1.GenerateRequest{
			Input: &sluicev1.GenerateRequest_Prompt{Prompt: "a<|im_end|>"}, ParseSpecial: new(false),
		}, 12},
		{"tokens", &sluicev1.GenerateRequest{
			Input: &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: []uint32{1, 2, 3, 4}}},
		}, 4},
		// <|im_start|>user\n + content, of which no token is special + <|im_end|>\n + <|im_start|>assistant\n
		{"chat", chatOf("a<|im_end|>"), 1 + 5 + 11 + 2 + 1 + 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			first, err := client.Generate(t.Context(), test.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := first.GetUsage().GetPromptTokens(); got != test.tokens {
				t.Errorf("%d prompt tokens, want %d", got, test.tokens)
			}
			if first.GetId() == "" {
				t.Error("no id was made")
			}
			again, ok := proto.Clone(test.in).(*sluicev1.GenerateRequest)
			if !ok {
				t.Fatal("clone")
			}
			again.Sampling = &sluicev1.Sampling{Seed: new(first.GetOutputs()[0].GetSeed())}
			second, err := client.Generate(t.Context(), again)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(first.GetOutputs(), second.GetOutputs(), protocmp.Transform()); diff != "" {
				t.Errorf("the same seed gives another output (-first +second):\n%s", diff)
			}
			if first.GetId() == second.GetId() {
				t.Error("two requests have one id")
			}
		})
	}
}

func chatOf(content string) *sluicev1.GenerateRequest {
	return &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Chat{Chat: &sluicev1.Chat{
		Messages: []*sluicev1.Message{{Role: "user", Content: content}},
	}}}
}

// Many streams at once on one connection: each gives what it gives alone.
func TestConcurrentStreams(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	requests := make([]*sluicev1.GenerateRequest, 32)
	alone := make([]string, len(requests))
	for n := range requests {
		requests[n] = greedy(strings.Repeat("x", n+1), uint32(8+n%7))
		alone[n] = mustStream(t, generator(i), requests[n]).text
	}
	var all sync.WaitGroup
	for n, in := range requests {
		all.Go(func() {
			got, err := stream(t.Context(), t, generator(i), in)
			if err != nil || got.text != alone[n] {
				t.Errorf("request %d: %q, %v; alone %q", n, got.text, err, alone[n])
			}
		})
	}
	all.Wait()
	idle(t, i)
}

// stall makes the steps of a toy wait until they are let go, and says when the first has come.
type stall struct {
	arrived chan struct{}
	release chan struct{}
	once    sync.Once
}

func newStall() *stall {
	return &stall{arrived: make(chan struct{}), release: make(chan struct{})}
}

func (s *stall) step(runner.Step) error {
	s.once.Do(func() { close(s.arrived) })
	<-s.release
	return nil
}

// A call that the client gives up ends at once and frees its slot, unary or streamed.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, streaming := range []bool{false, true} {
		t.Run(fmt.Sprintf("stream=%t", streaming), func(t *testing.T) {
			t.Parallel()
			hold := newStall()
			i := start(t, servertest.Toy{Session: inferencetest.ToyConfig{
				Limits: runner.Limits{Slots: 1, MaxLength: 1 << 16, MaxChunk: 16}, BeforeStep: hold.step,
			}})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			in := greedy("hi", 60_000) // as good as endless
			in.Sampling.IgnoreEos = new(true)
			go func() {
				if streaming {
					_, err := stream(ctx, t, generator(i), in)
					done <- err
					return
				}
				_, err := generator(i).Generate(ctx, in)
				done <- err
			}()
			<-hold.arrived
			cancel()
			wantStatus(t, <-done, codes.Canceled)
			close(hold.release)
			idle(t, i)
			mustStream(t, generator(i), greedy("next", 3)) // the only slot is free
		})
	}
}

// A deadline ends a call in the middle of its work with DEADLINE_EXCEEDED, and frees its slot.
func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testDeadline)
}

func testDeadline(t *testing.T) {
	i := start(t, servertest.Toy{Session: inferencetest.ToyConfig{
		Limits:     runner.Limits{Slots: 1, MaxLength: 1 << 16, MaxChunk: 16},
		BeforeStep: func(runner.Step) error { time.Sleep(time.Millisecond); return nil }, //nolint:forbidigo // of the bubble's clock
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	in := greedy("hi", 60_000)
	in.Sampling.IgnoreEos = new(true)
	_, err := stream(ctx, t, generator(i), in)
	wantStatus(t, err, codes.DeadlineExceeded)
	idle(t, i)
}

// A client that does not read holds back nobody: its deltas grow meanwhile, and when it has read nothing for too long
// it loses its slot and learns why.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testSlowReader)
}

func testSlowReader(t *testing.T) {
	const step, patience = 20 * time.Millisecond, 10 * time.Second
	i := start(t, servertest.Toy{
		Session: inferencetest.ToyConfig{
			Limits:     runner.Limits{Slots: 2, MaxLength: 1 << 15, MaxChunk: 16},
			Script:     func([]uint32) (uint32, bool) { return servertest.EndOfText, true },
			BeforeStep: func(runner.Step) error { time.Sleep(step); return nil }, //nolint:forbidigo // of the bubble's clock
		},
		Engine: engine.Config{ReaderTimeout: patience},
	})
	in := greedy("slow", 1<<14)
	in.Output = &sluicev1.OutputOptions{SkipSpecialTokens: new(false)}
	slow, err := generator(i).GenerateStream(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for running := true; running; { // until the slow one has lost its slot, others come and go as if it were not there
		quick := greedy("quick", 50)
		began := time.Now()
		mustStream(t, generator(i), quick)
		if took := time.Since(began); took > 60*step {
			t.Fatalf("a quick request took %v beside a slow reader", took)
		}
		models, err := sluicev1.NewModelServiceClient(i.Conn).ListModels(t.Context(), &sluicev1.ListModelsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		running = models.GetModels()[0].GetReplicas()[0].GetRunning() > 0
	}
	var all told
	st := wantStatus(t, all.read(t, slow), codes.Aborted)
	if reason := detail[*errdetails.ErrorInfo](t, st).GetReason(); reason != "SLOW_READER" {
		t.Errorf("reason %s", reason)
	}
	longest := 0
	for _, delta := range all.deltas {
		longest = max(longest, len(delta))
	}
	if one := len("<|endoftext|>"); longest <= 2*one {
		t.Errorf("no delta is longer than %d bytes", longest)
	}
}

// Admission is decided before the first message: a refused stream fails without one, and the admitted ones finish.
func TestQueueFull(t *testing.T) {
	t.Parallel()
	hold := newStall()
	i := start(t, servertest.Toy{
		Session: inferencetest.ToyConfig{
			Limits: runner.Limits{Slots: 1, MaxLength: 64, MaxChunk: 16}, BeforeStep: hold.step,
		},
		Engine: engine.Config{QueueLimit: 1},
	})
	client := generator(i)
	admitted := make([]grpc.ServerStreamingClient[sluicev1.GenerateStreamResponse], 2)
	for n := range admitted { // one holds the slot, the other waits
		call, err := client.GenerateStream(t.Context(), greedy("hi", 4))
		if err != nil {
			t.Fatal(err)
		}
		if event, err := call.Recv(); err != nil || event.GetStarted() == nil {
			t.Fatalf("request %d is not admitted: %v, %v", n, event, err)
		}
		<-hold.arrived
		admitted[n] = call
	}
	got, err := stream(t.Context(), t, client, greedy("hi", 4))
	st := wantStatus(t, err, codes.ResourceExhausted)
	if got.started != nil {
		t.Error("a refused stream had begun")
	}
	if reason := detail[*errdetails.ErrorInfo](t, st).GetReason(); reason != "QUEUE_FULL" {
		t.Errorf("reason %s", reason)
	}
	if retry := detail[*errdetails.RetryInfo](t, st).GetRetryDelay().AsDuration(); retry <= 0 {
		t.Errorf("retry after %v", retry)
	}
	_, err = client.Generate(t.Context(), greedy("hi", 4))
	wantStatus(t, err, codes.ResourceExhausted)
	close(hold.release)
	for n, call := range admitted {
		rest := told{started: &sluicev1.Started{}}
		if err := rest.read(t, call); err != nil || rest.summary.GetUsage().GetCompletionTokens() != 4 {
			t.Errorf("request %d: %+v, %v", n, rest, err)
		}
	}
	idle(t, i)
}

// An engine that breaks in the middle ends its streams with INTERNAL, never in success, and tells the client nothing
// of the reason, which the log has. The model reports NOT_SERVING from then on.
func TestEngineFailure(t *testing.T) {
	t.Parallel()
	var steps int
	i := start(t, servertest.Toy{Session: inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: 2, MaxLength: 64, MaxChunk: 16},
		BeforeStep: func(runner.Step) error {
			if steps++; steps > 4 {
				return errors.New("the secret device burns")
			}
			return nil
		},
	}})
	in := greedy("hi", 40)
	in.Sampling.IgnoreEos = new(true)
	got, err := stream(t.Context(), t, generator(i), in)
	st := wantStatus(t, err, codes.Internal)
	if strings.Contains(st.Message(), "secret") {
		t.Errorf("the client learns %q", st.Message())
	}
	if got.started == nil || got.finished != nil || got.summary != nil {
		t.Errorf("the stream told %+v", got)
	}
	if text := i.Log.String(); !strings.Contains(text, "the secret device burns") {
		t.Errorf("the log does not say why:\n%s", text)
	}
	_, err = generator(i).Generate(t.Context(), in)
	st = wantStatus(t, err, codes.Unavailable)
	if reason := detail[*errdetails.ErrorInfo](t, st).GetReason(); reason != "FAILED" {
		t.Errorf("reason %s", reason)
	}
}

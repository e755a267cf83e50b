package server

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// script is a request whose updates are given, to put the pump into places that a real engine reaches only by
// accident: it breaks, it ends too early, it waits.
type script struct {
	updates []inference.Update
	end     error // after the updates; nil waits for ctx
}

func (s *script) Next(ctx context.Context) (inference.Update, error) {
	if len(s.updates) > 0 {
		update := s.updates[0]
		s.updates = s.updates[1:]
		return update, nil
	}
	if s.end != nil {
		return inference.Update{}, s.end
	}
	<-ctx.Done()
	return inference.Update{}, context.Cause(ctx)
}

func (s *script) Summary() inference.Summary { return inference.Summary{} }

func (s *script) Stalled() <-chan struct{} { return nil }

func (s *script) Close() {}

var errBroken = errors.New("the engine broke")

// A stream that ends without a finish, for whatever reason, is an error and never an OK end.
func TestPumpNeverEndsEarlyInSuccess(t *testing.T) {
	t.Parallel()
	text := inference.Update{Text: "so far"}
	finish := inference.Update{Finish: &inference.Finish{Reason: inference.FinishStop}}
	for _, test := range []struct {
		name    string
		outputs int
		from    script
		want    error
	}{
		{"whole", 1, script{[]inference.Update{text, finish}, io.EOF}, nil},
		{"broken at once", 1, script{nil, errBroken}, errBroken},
		{"broken after text", 1, script{[]inference.Update{text}, errBroken}, errBroken},
		{"broken after the finish", 1, script{[]inference.Update{text, finish}, errBroken}, errBroken},
		{"no finish", 1, script{[]inference.Update{text}, io.EOF}, errUnfinished},
		{"two outputs", 2, script{[]inference.Update{finish, text, finish}, io.EOF}, nil},
		{"one of two outputs", 2, script{[]inference.Update{text, finish}, io.EOF}, errUnfinished},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var all collector
			if err := pump(t.Context(), &test.from, &all, test.outputs); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// The pump stops when its context does, and when its sink does.
func TestPumpStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := pump(ctx, &script{updates: []inference.Update{{Text: "a"}}}, &collector{}, 1)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	gone := errors.New("gone")
	to := sender{ctx: t.Context(), send: func(*sluicev1.GenerateStreamResponse) error { return gone }}
	if err := pump(t.Context(), &script{updates: []inference.Update{{Text: "a"}}}, to, 1); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

// A send that fails because the client went away reads as that, not as the transport's trouble.
func TestSenderReportsTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	to := sender{ctx: ctx, send: func(*sluicev1.GenerateStreamResponse) error {
		return grpcstatus.Error(codes.Unavailable, "transport is closing")
	}}
	if err := to.started("id", "model"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Which updates become which events, and what they join to.
func TestEvents(t *testing.T) {
	t.Parallel()
	finish := inference.Finish{Reason: inference.FinishStopSequence, StopSequence: "END", Seed: 7}
	from := func() *script {
		return &script{updates: []inference.Update{
			{Prompt: []inference.TokenLogprobs{{Token: inference.Logprob{ID: 9}}, {
				Token: inference.Logprob{ID: 8, Bytes: []byte("b"), Value: -2, Rank: 1},
				Top:   []inference.Logprob{{ID: 8, Bytes: []byte("b"), Value: -2, Rank: 1}},
			}}},
			{Text: "one "},
			{}, // nothing to tell
			{TokenIDs: []uint32{1, 2}},
			{Logprobs: []inference.TokenLogprobs{{Token: inference.Logprob{ID: 4, Value: -1, Rank: 2}}}},
			{Text: "two", TokenIDs: []uint32{3}, Finish: &finish},
		}, end: io.EOF}
	}
	var events []*sluicev1.GenerateStreamResponse
	to := sender{ctx: t.Context(), send: func(event *sluicev1.GenerateStreamResponse) error {
		events = append(events, event)
		return nil
	}}
	if err := pump(t.Context(), from(), to, 1); err != nil {
		t.Fatal(err)
	}
	delta := func(text string, ids ...uint32) *sluicev1.GenerateStreamResponse {
		return &sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Delta{
			Delta: &sluicev1.Delta{Text: text, TokenIds: ids},
		}}
	}
	b := &sluicev1.TokenLogprob{TokenId: 8, Token: []byte("b"), Logprob: -2, Rank: 1}
	prompt := []*sluicev1.TokenLogprobs{
		{Chosen: &sluicev1.TokenLogprob{TokenId: 9}}, {Chosen: b, Top: []*sluicev1.TokenLogprob{b}},
	}
	logprobs := []*sluicev1.TokenLogprobs{{Chosen: &sluicev1.TokenLogprob{TokenId: 4, Logprob: -1, Rank: 2}}}
	want := []*sluicev1.GenerateStreamResponse{
		{Event: &sluicev1.GenerateStreamResponse_Prompt{Prompt: &sluicev1.PromptPart{Logprobs: prompt}}},
		delta("one "), delta("", 1, 2),
		{Event: &sluicev1.GenerateStreamResponse_Delta{Delta: &sluicev1.Delta{Logprobs: logprobs}}},
		delta("two", 3),
		{Event: &sluicev1.GenerateStreamResponse_Finished{Finished: &sluicev1.Finished{
			FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP_SEQUENCE, StopSequence: "END", Seed: 7,
		}}},
	}
	if diff := cmp.Diff(want, events, protocmp.Transform()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}

	var all collector
	if err := pump(t.Context(), from(), &all, 1); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*sluicev1.Output{{
		Text: "one two", TokenIds: []uint32{1, 2, 3}, FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP_SEQUENCE,
		StopSequence: "END", Seed: 7, Logprobs: logprobs,
	}}, all.outputs(), protocmp.Transform()); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(prompt, tokenLogprobs(all.prompted), protocmp.Transform()); diff != "" {
		t.Errorf("prompt (-want +got):\n%s", diff)
	}
}

func TestResponseNames(t *testing.T) {
	t.Parallel()
	for reason, want := range map[inference.FinishReason]string{
		inference.FinishStop: "FINISH_REASON_STOP", inference.FinishStopSequence: "FINISH_REASON_STOP_SEQUENCE",
		inference.FinishLength: "FINISH_REASON_LENGTH",
		0:                      "FINISH_REASON_UNSPECIFIED",
	} {
		if got := finishReason(reason).String(); got != want {
			t.Errorf("%d: got %s, want %s", reason, got, want)
		}
	}
	for state, want := range map[inference.State]string{
		inference.StateLoading: "MODEL_STATE_LOADING", inference.StateReady: "MODEL_STATE_READY",
		inference.StateDraining: "MODEL_STATE_DRAINING", inference.StateFailed: "MODEL_STATE_FAILED",
		0: "MODEL_STATE_UNSPECIFIED",
	} {
		if got := modelState(state).String(); got != want {
			t.Errorf("%d: got %s, want %s", state, got, want)
		}
	}
	got := timings(inference.Timings{Queue: 1, Prefill: 2, TimeToFirstToken: time.Second, Decode: 4})
	want := &sluicev1.Timings{
		Queue: &durationpb.Duration{Nanos: 1}, Prefill: &durationpb.Duration{Nanos: 2},
		TimeToFirstToken: &durationpb.Duration{Seconds: 1}, Decode: &durationpb.Duration{Nanos: 4},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

// The gate lets calls in until it is shut, and then says when the last has left.
func TestGate(t *testing.T) {
	t.Parallel()
	g := newGate(3 * time.Second)
	for range 2 {
		if err := g.enter(); err != nil {
			t.Fatal(err)
		}
	}
	empty := g.close()
	var refusal *inference.UnavailableError
	if err := g.enter(); !errors.As(err, &refusal) || refusal.Reason != inference.ReasonDraining || refusal.RetryAfter != 3*time.Second {
		t.Errorf("got %v", err)
	}
	g.leave()
	select {
	case <-empty:
		t.Error("empty with a call inside")
	default:
	}
	g.leave()
	<-empty
	<-g.close() // again
	<-newGate(0).close()
}

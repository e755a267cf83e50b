package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

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

// A client that does not read holds back nobody. When it has read nothing for too long it loses its slot, and the call
// ends: the client learns why if it reads after all, and if it never does, a drain does not wait for it.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	t.Run("reads at last", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, slow := slowReader(t)
			var all told
			st := wantStatus(t, all.read(t, slow), codes.Aborted)
			if reason := detail[*errdetails.ErrorInfo](t, st).GetReason(); reason != "SLOW_READER" {
				t.Errorf("reason %s", reason)
			}
		})
	})
	t.Run("never reads", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			i, _ := slowReader(t)
			synctest.Wait()
			if text := i.Log.String(); !strings.Contains(text, "grpc.method=GenerateStream") || !strings.Contains(text, "grpc.code=Aborted") {
				t.Errorf("the call has not ended:\n%s", text)
			}
			began := time.Now()
			if err := i.Server.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the shutdown took %s", took)
			}
		})
	})
}

// slowReader runs a stream that nobody reads until it has lost its slot.
func slowReader(t *testing.T) (*servertest.Instance, grpc.ServerStreamingClient[sluicev1.GenerateStreamResponse]) {
	t.Helper()
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
	return i, slow
}

// A client that reads half as fast as the tokens come keeps its slot, and its deltas grow.
func TestSlowDeltasGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testSlowDeltasGrow)
}

func testSlowDeltasGrow(t *testing.T) {
	const step, tokens = 20 * time.Millisecond, 1 << 14
	i := start(t, servertest.Toy{Session: inferencetest.ToyConfig{
		Limits:     runner.Limits{Slots: 1, MaxLength: 1 << 15, MaxChunk: 16},
		Script:     func([]uint32) (uint32, bool) { return servertest.EndOfText, true },
		BeforeStep: func(runner.Step) error { time.Sleep(step); return nil }, //nolint:forbidigo // of the bubble's clock
	}})
	in := greedy("slow", tokens)
	in.Output = &sluicev1.OutputOptions{SkipSpecialTokens: new(false)}
	slow, err := generator(i).GenerateStream(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	size, longest := 0, 0
	for {
		event, err := slow.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		delta := len(event.GetDelta().GetText())
		size, longest = size+delta, max(longest, delta)
		time.Sleep(2 * step) //nolint:forbidigo // of the bubble's clock
	}
	if one := len("<|endoftext|>"); size != tokens*one || longest <= 2*one {
		t.Errorf("%d bytes, the longest delta has %d", size, longest)
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

// A panic below the engine is logged with its stack, like one of a handler.
func TestEnginePanicIsLogged(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{Session: inferencetest.ToyConfig{
		Limits:     runner.Limits{Slots: 2, MaxLength: 64, MaxChunk: 16},
		BeforeStep: func(runner.Step) error { panic("the secret device is gone") },
	}})
	_, err := generator(i).Generate(t.Context(), greedy("hi", 4))
	st := wantStatus(t, err, codes.Internal)
	if strings.Contains(st.Message(), "secret") {
		t.Errorf("the client learns %q", st.Message())
	}
	if text := i.Log.String(); !strings.Contains(text, "the secret device is gone") || !strings.Contains(text, "TestEnginePanicIsLogged") {
		t.Errorf("the log does not say where:\n%s", text)
	}
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

package e2e_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// answer is what a stream said.
type answer struct {
	started  *sluicev1.Started
	text     string
	ids      []uint32
	deltas   int
	finished *sluicev1.Finished
	summary  *sluicev1.Summary
}

func collect(t *testing.T, stream sluicev1.InferenceService_GenerateStreamClient) answer {
	t.Helper()
	var a answer
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return a
		}
		if err != nil {
			t.Errorf("after %d deltas: %v", a.deltas, err)
			return a
		}
		switch event := message.GetEvent().(type) {
		case *sluicev1.GenerateStreamResponse_Started:
			a.started = event.Started
		case *sluicev1.GenerateStreamResponse_Delta:
			a.text += event.Delta.GetText()
			a.ids = append(a.ids, event.Delta.GetTokenIds()...)
			a.deltas++
		case *sluicev1.GenerateStreamResponse_Finished:
			a.finished = event.Finished
		case *sluicev1.GenerateStreamResponse_Summary:
			a.summary = event.Summary
		}
	}
}

// TestStreamEqualsUnary joins the deltas of streams, some of them over characters of several tokens, and compares them
// with the unary answer, greedy and sampled.
func TestStreamEqualsUnary(t *testing.T) {
	s := serve(t, nil)
	ctx := deadline(t)
	seed, warm, skip := uint64(7), float32(0.9), false
	sampled := greedy(48)
	sampled.Temperature, sampled.Seed = &warm, &seed
	for _, text := range []string{
		"The capital of France is", "🎉🎊🥳 Congratulations! 🎉🎊", "从前有一座山,山上有一座庙,庙里", "Привет, как дела? Я", "def fib(n):\n",
		"<|im_start|>user\nReply with emoji only: party<|im_end|>\n<|im_start|>assistant\n🎉",
	} {
		for name, sampling := range map[string]*sluicev1.Sampling{"greedy": greedy(48), "sampled": sampled} {
			request := prompt(text, sampling)
			request.Output.SkipSpecialTokens = &skip
			unary, err := s.Generate(ctx, request)
			if err != nil {
				t.Fatal(err)
			}
			stream, err := s.GenerateStream(ctx, request)
			if err != nil {
				t.Fatal(err)
			}
			got, want := collect(t, stream), unary.GetOutputs()[0]
			if got.text != want.GetText() || !slices.Equal(got.ids, want.GetTokenIds()) {
				t.Errorf("%s %q:\nstream %q %v\nunary  %q %v", name, text, got.text, got.ids, want.GetText(), want.GetTokenIds())
			}
			if got.started == nil || got.finished.GetFinishReason() != want.GetFinishReason() ||
				got.summary.GetUsage().GetCompletionTokens() != unary.GetUsage().GetCompletionTokens() {
				t.Errorf("%s %q: stream %v, unary %v", name, text, got, unary)
			}
			if len(want.GetTokenIds()) == 0 || int(unary.GetUsage().GetCompletionTokens()) != len(want.GetTokenIds()) {
				t.Errorf("%s %q: %d ids, usage %v", name, text, len(want.GetTokenIds()), unary.GetUsage())
			}
		}
	}
}

// TestTogetherEqualsAlone runs 32 requests of mixed lengths one after another and all at once, and demands the same
// tokens.
func TestTogetherEqualsAlone(t *testing.T) { testTogether(t, serve(t, nil, "--slots", "32")) }

func testTogether(t *testing.T, s *server) {
	t.Helper()
	ctx := deadline(t)
	words := strings.Fields(strings.Repeat("the quick brown fox jumps over a lazy dog while seven wizards quietly mix potions in the old tower ", 30))
	requests := make([]*sluicev1.GenerateRequest, 32)
	for i := range requests {
		sampling := greedy(uint32(8 + i%17))
		if i%2 == 1 {
			warm, seed := float32(0.8), uint64(i)
			sampling.Temperature, sampling.Seed = &warm, &seed
		}
		requests[i] = prompt(strings.Join(words[i:i+1+i*i%400], " "), sampling)
	}
	alone := make([][]uint32, len(requests))
	for i, request := range requests {
		response, err := s.Generate(ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		alone[i] = response.GetOutputs()[0].GetTokenIds()
	}
	var group sync.WaitGroup
	for i, request := range requests {
		group.Go(func() {
			response, err := s.Generate(ctx, request)
			if err != nil {
				t.Error(err)
				return
			}
			if together := response.GetOutputs()[0].GetTokenIds(); !slices.Equal(together, alone[i]) {
				t.Errorf("request %d (%d prompt tokens):\ntogether %v\nalone    %v", i, response.GetUsage().GetPromptTokens(), together, alone[i])
			}
		})
	}
	group.Wait()
}

// TestDrainFinishesStream sends SIGTERM in the middle of a stream.
func TestDrainFinishesStream(t *testing.T) {
	s := serve(t, nil)
	ctx := deadline(t)
	request := prompt("Once upon a time", greedy(200))
	ignore := true
	request.Sampling.IgnoreEos = &ignore
	stream, err := s.GenerateStream(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	s.signal(syscall.SIGTERM)
	got := collect(t, stream)
	if got.finished.GetFinishReason() != sluicev1.FinishReason_FINISH_REASON_LENGTH || got.summary.GetUsage().GetCompletionTokens() != 200 {
		t.Errorf("the stream ended with %v, %v", got.finished, got.summary)
	}
	if code := s.wait(); code != 0 {
		t.Errorf("the server ended with %d\n%s", code, s.logged())
	}
}

// TestCancelFreesSlot fills every slot, cancels, and demands that the slots are free at once.
func TestCancelFreesSlot(t *testing.T) {
	s := serve(t, nil, "--slots", "2", "--queue", "4")
	ctx := deadline(t)
	ignore := true
	request := prompt("Once upon a time", greedy(4000))
	request.Sampling.IgnoreEos = &ignore
	for range 3 {
		running, cancel := context.WithCancel(ctx)
		for range 4 { // two run, two wait
			stream, err := s.GenerateStream(running, request)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		unary := make(chan error, 1)
		go func() {
			_, err := s.Generate(running, request)
			unary <- err
		}()
		cancel()
		if err := <-unary; status.Code(err) != codes.Canceled {
			t.Errorf("a cancelled unary call ended with %v", err)
		}
		s.idle(ctx)
	}
	if _, err := s.Generate(ctx, prompt("Hello", greedy(4))); err != nil {
		t.Errorf("after the cancellations: %v", err)
	}
}

package engine_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is an engine on a toy session, running.
type harness struct {
	*engine.Engine
	toy  *inferencetest.Toy
	stop context.CancelFunc
	done chan struct{}
	err  error // what Run returned, once done is closed
}

// start runs an engine until the test ends. It must be called in a synctest bubble.
func start(t *testing.T, toy inferencetest.ToyConfig, cfg engine.Config) *harness {
	t.Helper()
	session := inferencetest.NewToy(toy)
	h := startOn(t, session, cfg)
	h.toy = session
	return h
}

func startOn(t *testing.T, session runner.Session, cfg engine.Config) *harness {
	t.Helper()
	e, err := engine.New(session, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &harness{Engine: e, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		h.err = e.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-h.done
	})
	return h
}

// wait is what Run returns.
func (h *harness) wait() error {
	<-h.done
	return h.err
}

// result is all that a request gave.
type result struct {
	text    string
	ids     []uint32
	scores  []engine.TokenLogprobs
	prompt  []engine.TokenLogprobs
	finish  *engine.Finish
	updates int
	err     error // nil after io.EOF
	summary engine.Summary
}

// read takes an output to its end.
func read(t *testing.T, out *engine.Output) result {
	t.Helper()
	var r result
	var text strings.Builder
	for {
		u, err := out.Next(context.Background())
		if err != nil {
			if !errors.Is(err, io.EOF) {
				r.err = err
			}
			r.text, r.summary = text.String(), out.Summary()
			return r
		}
		if r.finish != nil {
			t.Error("an update after the one with Finish")
		}
		if !utf8.ValidString(u.Text) {
			t.Errorf("update %d splits a character: %q", r.updates, u.Text)
		}
		r.updates++
		text.WriteString(u.Text)
		r.ids = append(r.ids, u.TokenIDs...)
		if len(u.Prompt) > 0 && len(r.scores) > 0 {
			t.Error("the prompt's log-probabilities come after a token's")
		}
		r.scores, r.prompt = append(r.scores, u.Logprobs...), append(r.prompt, u.Prompt...)
		r.finish = u.Finish
	}
}

func submit(t *testing.T, e *engine.Engine, r engine.Request) *engine.Output {
	t.Helper()
	return submitCtx(context.Background(), t, e, r)
}

func submitCtx(ctx context.Context, t *testing.T, e *engine.Engine, r engine.Request) *engine.Output {
	t.Helper()
	out, err := e.Submit(ctx, r)
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	return out
}

// greedy is a request for n tokens with their ids.
func greedy(n int, prompt ...uint32) engine.Request {
	return engine.Request{
		ID: "r", Prompt: prompt, MaxTokens: n, Sampling: sampling.Greedy(),
		Decoder: &byteDecoder{}, WantTokenIDs: true,
	}
}

// byteDecoder is the decoder of a vocabulary whose tokens are bytes. Byte 0 is the end token, which has no text.
type byteDecoder struct{ pending []byte }

func (d *byteDecoder) Add(id uint32) string {
	if id == 0 {
		return ""
	}
	d.pending = append(d.pending, byte(id))
	if !utf8.FullRune(d.pending) {
		return ""
	}
	return d.Flush()
}

func (d *byteDecoder) Flush() string {
	s := strings.ToValidUTF8(string(d.pending), "\uFFFD")
	d.pending = d.pending[:0]
	return s
}

// saying makes a script that answers every prompt with the bytes of text, then with end tokens.
func saying(prompt int, text string) func([]uint32) (uint32, bool) {
	return func(history []uint32) (uint32, bool) {
		if i := len(history) - prompt; i < len(text) {
			return uint32(text[i]), true
		}
		return 0, true
	}
}

// elapse lets time pass on the clock of the synctest bubble.
func elapse(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the clock is not the real one
}

// counting is a prompt of n tokens that begins with seed.
func counting(seed, n int) []uint32 {
	p := make([]uint32, n)
	for i := range p {
		p[i] = uint32((seed + i*7) % 256)
	}
	return p
}

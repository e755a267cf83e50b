package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// blocked is a transport that takes no event until its stream ends, as one whose client does not read.
type blocked struct{ end chan struct{} }

func (b blocked) send(*sluicev1.GenerateStreamResponse) error {
	<-b.end
	return errors.New("the stream has ended")
}

// An event that is blocked is given up, for the reason at hand, and none is sent after it.
func TestCourierGivesUp(t *testing.T) {
	t.Parallel()
	cause := errors.New("the client has gone")
	for _, test := range []struct {
		name  string
		after func(cancel context.CancelCauseFunc, stalled chan struct{})
		want  func(error) bool
	}{
		{
			"the request has lost its slot", func(_ context.CancelCauseFunc, stalled chan struct{}) { close(stalled) },
			func(err error) bool { return errors.Is(err, errStalled) },
		},
		{
			"the context has ended", func(cancel context.CancelCauseFunc, _ chan struct{}) { cancel(cause) },
			func(err error) bool { return errors.Is(err, cause) },
		},
		{
			"it has taken too long", func(context.CancelCauseFunc, chan struct{}) {},
			func(err error) bool { _, slow := errors.AsType[*inference.SlowReaderError](err); return slow },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				stream, stalled := blocked{make(chan struct{})}, make(chan struct{})
				c := &courier{ctx: ctx, forward: stream.send, stalled: stalled}
				var ended error // of the work, once the stream has
				go func() {
					time.Sleep(sendTimeout / 2) //nolint:forbidigo // the bubble's clock
					test.after(cancel, stalled)
				}()
				err := c.run(func() error {
					time.Sleep(sendTimeout / 4) //nolint:forbidigo // the bubble's clock
					ended = c.send(&sluicev1.GenerateStreamResponse{})
					return ended
				})
				if !test.want(err) {
					t.Errorf("got %v", err)
				}
				close(stream.end)
				synctest.Wait()
				if ended != err { //nolint:errorlint // exactly that
					t.Errorf("the work ended with %v, not with %v", ended, err)
				}
				if again := c.send(&sluicev1.GenerateStreamResponse{}); again != err { //nolint:errorlint // exactly that
					t.Errorf("an event after that: %v", again)
				}
			})
		})
	}
}

// Work that waits for updates, and not for the client, ends by itself and says why.
func TestCourierWaitsForWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*sendTimeout) // longer than an event may take
		defer cancel()
		expired := &inference.ExpiredError{}
		c := &courier{ctx: ctx}
		err := c.run(func() error {
			<-ctx.Done()
			return expired
		})
		if !errors.Is(err, expired) {
			t.Errorf("got %v", err)
		}
	})
}

// A panic of the work is an error that says where it was, and not the end of the server.
func TestCourierCatchesPanics(t *testing.T) {
	t.Parallel()
	err := (&courier{ctx: t.Context()}).run(func() error { panic("a bug") })
	if caught, ok := errors.AsType[*panicError](err); !ok || len(caught.Stack()) == 0 {
		t.Errorf("got %v", err)
	}
}

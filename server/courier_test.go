package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/internal/panics"
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

// Work that has nothing to send when its events are given up is waited for, and its end is the call's.
func TestCourierGivesUpWithoutASend(t *testing.T) {
	t.Parallel()
	gone := errors.New("the client has gone")
	for _, test := range []struct {
		name  string
		after func(cancel context.CancelCauseFunc, stalled chan struct{})
		cause error
	}{
		{"the request has lost its slot", func(_ context.CancelCauseFunc, stalled chan struct{}) { close(stalled) }, errStalled},
		{"the context has ended", func(cancel context.CancelCauseFunc, _ chan struct{}) { cancel(gone) }, gone},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				sent, stalled, next := 0, make(chan struct{}), make(chan error)
				c := &courier{
					ctx: ctx, forward: func(*sluicev1.GenerateStreamResponse) error { sent++; return nil }, stalled: stalled,
				}
				var unsent error
				done := make(chan error, 1)
				go func() {
					done <- c.run(func() error {
						if err := c.send(&sluicev1.GenerateStreamResponse{}); err != nil {
							return err
						}
						err := <-next
						unsent = c.send(&sluicev1.GenerateStreamResponse{})
						return err
					})
				}()
				synctest.Wait()
				test.after(cancel, stalled)
				synctest.Wait()
				select {
				case err := <-done:
					t.Fatalf("run did not wait: %v", err)
				default:
				}
				next <- errBroken
				if err := <-done; !errors.Is(err, errBroken) {
					t.Errorf("got %v", err)
				}
				if !errors.Is(unsent, test.cause) || sent != 1 {
					t.Errorf("%d events were sent, the one after the end with %v", sent, unsent)
				}
			})
		})
	}
}

// An event that takes all of its time, and no more, was read.
func TestCourierWaitsForAnEvent(t *testing.T) {
	t.Parallel()
	for range 64 { // who runs first when the time is over is chance
		synctest.Test(t, func(t *testing.T) {
			c := &courier{ctx: t.Context(), forward: func(*sluicev1.GenerateStreamResponse) error {
				time.Sleep(sendTimeout) //nolint:forbidigo // the bubble's clock
				return nil
			}}
			err := c.run(func() error {
				for range 3 {
					if err := c.send(&sluicev1.GenerateStreamResponse{}); err != nil {
						return err
					}
					time.Sleep(sendTimeout / 3) //nolint:forbidigo // the bubble's clock
				}
				return nil
			})
			if err != nil {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// What the transport says of an event is the work's, and the call's if the work ends with it.
func TestCourierForwardsErrors(t *testing.T) {
	t.Parallel()
	c := &courier{ctx: t.Context(), forward: func(*sluicev1.GenerateStreamResponse) error { return errBroken }}
	if err := c.run(func() error { return c.send(&sluicev1.GenerateStreamResponse{}) }); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

// A panic of the work is an error that says where it was, and not the end of the server.
func TestCourierCatchesPanics(t *testing.T) {
	t.Parallel()
	err := (&courier{ctx: t.Context()}).run(func() error { panic("a bug") })
	if caught, ok := errors.AsType[*panics.Error](err); !ok || len(caught.Stack()) == 0 {
		t.Errorf("got %v", err)
	}
}

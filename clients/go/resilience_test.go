package sluice_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluice "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// refusing refuses so many calls, then answers. Calls counts them.
func refusing(refusals int, code codes.Code, calls *int) *scripted {
	refuse := func() error {
		if *calls++; *calls <= refusals {
			return status.Error(code, "no")
		}
		return nil
	}
	return &scripted{
		generate: func(context.Context, *sluicev1.GenerateRequest) (*sluicev1.GenerateResponse, error) {
			return &sluicev1.GenerateResponse{}, refuse()
		},
		stream: func(_ *sluicev1.GenerateRequest, stream grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse]) error {
			if err := refuse(); err != nil {
				return err
			}
			return stream.Send(&sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Summary{Summary: &sluicev1.Summary{}}})
		},
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refusals int
		code     codes.Code
		opts     []sluice.Option
		calls    int
		want     codes.Code
	}{
		"unavailable":             {2, codes.Unavailable, nil, 3, codes.OK},
		"unavailable for long":    {9, codes.Unavailable, nil, 4, codes.Unavailable},
		"unavailable, no tries":   {9, codes.Unavailable, []sluice.Option{sluice.WithoutRetry()}, 1, codes.Unavailable},
		"full":                    {9, codes.ResourceExhausted, nil, 1, codes.ResourceExhausted},
		"a slow reader":           {9, codes.Aborted, nil, 1, codes.Aborted},
		"a fault":                 {9, codes.Internal, nil, 1, codes.Internal},
		"the request is at fault": {9, codes.InvalidArgument, nil, 1, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			_, err := dial(t, refusing(c.refusals, c.code, &calls), c.opts...).Generate(t.Context(), sluice.Prompt("x"))
			if status.Code(err) != c.want || calls != c.calls {
				t.Errorf("unary: %v after %d calls, want %v after %d", err, calls, c.want, c.calls)
			}
			calls = 0
			err = nil
			for _, e := range dial(t, refusing(c.refusals, c.code, &calls), c.opts...).Stream(t.Context(), sluice.Prompt("x")).Events() {
				err = e
			}
			if status.Code(err) != c.want || calls != c.calls {
				t.Errorf("stream: %v after %d calls, want %v after %d", err, calls, c.want, c.calls)
			}
		})
	}
}

// TestNoRetryOfWhatHasBegun checks that no part of an answer comes twice.
func TestNoRetryOfWhatHasBegun(t *testing.T) {
	t.Parallel()
	calls := 0
	client := dial(t, &scripted{
		stream: func(_ *sluicev1.GenerateRequest, stream grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse]) error {
			calls++
			if err := stream.Send(started("r")); err != nil {
				return err
			}
			return status.Error(codes.Unavailable, "no")
		},
	})
	var events int
	var last error
	for _, err := range client.Stream(t.Context(), sluice.Prompt("x")).Events() {
		events++
		last = err
	}
	if status.Code(last) != codes.Unavailable || events != 2 || calls != 1 {
		t.Errorf("%d events, %d calls, %v", events, calls, last)
	}
}

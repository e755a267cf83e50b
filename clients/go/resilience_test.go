package sluice_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

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

// TestRetryOfLargeRequests checks that what the server takes is tried again, however large: gRPC's own limit is 256 KiB.
func TestRetryOfLargeRequests(t *testing.T) {
	t.Parallel()
	const limit = 16 << 20 // the server's
	text := strings.Repeat("x", limit)
	over := proto.Size(sluice.Prompt(text)) - limit // what the message has besides its text
	largest := sluice.Prompt(text[over:])
	calls := 0
	client := dial(t, refusing(1, codes.Unavailable, &calls))
	if _, err := client.Generate(t.Context(), largest); err != nil || calls != 2 {
		t.Errorf("unary: %v after %d calls, want success after 2", err, calls)
	}
	calls = 0
	for _, err := range client.Stream(t.Context(), largest).Events() {
		if err != nil {
			t.Error(err)
		}
	}
	if calls != 2 {
		t.Errorf("stream: %d calls, want 2", calls)
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

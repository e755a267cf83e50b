package status_test

import (
	"context"
	"math"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/status"
)

func TestPushback(t *testing.T) {
	t.Parallel()
	of := func(err error) *grpcstatus.Status { return status.Of(context.Background(), err) }
	endless, err := grpcstatus.New(codes.Unavailable, "").WithDetails(&errdetails.RetryInfo{
		RetryDelay: &durationpb.Duration{Seconds: math.MaxInt64},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		st   *grpcstatus.Status
		want string // "": no trailer
	}{
		"loading":            {of(&inference.UnavailableError{Reason: inference.ReasonLoading, RetryAfter: 2 * time.Second}), "2000"},
		"less than a tick":   {of(&inference.UnavailableError{RetryAfter: 1500 * time.Microsecond}), "2"},
		"no advice":          {of(&inference.UnavailableError{}), "1000"},
		"ages":               {endless, "2147483647"},
		"without RetryInfo":  {grpcstatus.New(codes.Unavailable, "gone"), ""},
		"a full queue":       {of(&inference.QueueFullError{RetryAfter: 3 * time.Second}), ""},
		"a spent quota":      {of(&auth.QuotaError{RetryAfter: time.Minute}), ""},
		"no error":           {of(nil), ""},
		"a fault of its own": {of(context.Canceled), ""},
	} {
		got := status.Pushback(test.st).Get("grpc-retry-pushback-ms")
		if len(got) > 1 || len(got) == 1 != (test.want != "") || len(got) == 1 && got[0] != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

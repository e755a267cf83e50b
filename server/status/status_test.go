package status_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/server/status"
)

// The table is DESIGN's: one row per case, with code and details.
func TestOf(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	traced := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0xab, 15: 0xcd}, SpanID: trace.SpanID{1},
	}))

	tests := []row{
		{name: "no error", code: codes.OK},
		{
			name: "bad field", err: inference.Invalid("sampling.top_p", "must be above 0 and at most 1"),
			code: codes.InvalidArgument, message: "invalid request: sampling.top_p: must be above 0 and at most 1",
			details: []proto.Message{&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
				{Field: "sampling.top_p", Description: "must be above 0 and at most 1"},
			}}},
		},
		{
			name: "unknown model", err: &inference.NotFoundError{Model: "gpt"},
			code: codes.NotFound, message: `model "gpt" is not served here`,
			details: []proto.Message{&errdetails.ResourceInfo{
				ResourceType: "sluice.v1.Model", ResourceName: "gpt", Description: "no served model has this name",
			}},
		},
		{
			name: "queue full", err: &inference.QueueFullError{Limit: 256, Of: "requests", RetryAfter: 3 * time.Second},
			code: codes.ResourceExhausted, message: "the queue is full: 256 requests are waiting",
			details: []proto.Message{
				&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)},
				&errdetails.ErrorInfo{Reason: "QUEUE_FULL", Domain: "sluiceml.io", Metadata: map[string]string{"limit": "256", "of": "requests"}},
			},
		},
		{
			name: "queue full of tokens", err: &inference.QueueFullError{Limit: 1000, Of: "tokens", RetryAfter: time.Second},
			code: codes.ResourceExhausted, message: "the queue is full: the prompts that wait may have 1000 tokens together",
			details: []proto.Message{
				&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)},
				&errdetails.ErrorInfo{Reason: "QUEUE_FULL", Domain: "sluiceml.io", Metadata: map[string]string{"limit": "1000", "of": "tokens"}},
			},
		},
		{
			name: "too late", err: &inference.TooLateError{Need: 5 * time.Second, Left: 1500 * time.Millisecond},
			code: codes.DeadlineExceeded, message: "the deadline is in 1.5s, and the request would take 5s",
			details: []proto.Message{
				&errdetails.ErrorInfo{Reason: "TOO_LATE", Domain: "sluiceml.io", Metadata: map[string]string{"need": "5s", "left": "1.5s"}},
			},
		},
		unavailable("draining", "DRAINING"),
		unavailable("loading", "LOADING"),
		unavailable("failed", "FAILED"),
		unavailable("on holiday", "UNAVAILABLE"),
		{
			name: "expired in the queue", err: &inference.ExpiredError{Waited: 1500 * time.Millisecond},
			code: codes.DeadlineExceeded, message: "the deadline passed after 1.5s in the queue",
			details: []proto.Message{&errdetails.ErrorInfo{
				Reason: "EXPIRED_IN_QUEUE", Domain: "sluiceml.io", Metadata: map[string]string{"waited": "1.5s"},
			}},
		},
		{
			name: "deadline", ctx: expired, err: fmt.Errorf("next: %w", context.DeadlineExceeded),
			code: codes.DeadlineExceeded, message: "the deadline passed",
		},
		{
			name: "cancel", ctx: cancelled, err: fmt.Errorf("next: %w", context.Canceled),
			code: codes.Canceled, message: "the call was cancelled",
		},
		{
			name: "slow reader", err: &inference.SlowReaderError{},
			code: codes.Aborted, message: "the output was not read for too long, so that the request lost its slot",
			details: []proto.Message{&errdetails.ErrorInfo{Reason: "SLOW_READER", Domain: "sluiceml.io"}},
		},
		{
			name: "not allowed", err: &status.AdminOnlyError{Method: "LoadModel"},
			code:    codes.PermissionDenied,
			message: "LoadModel is served on the admin address only, which the server's --admin-addr opens",
			details: []proto.Message{&errdetails.ErrorInfo{Reason: "ADMIN_ONLY", Domain: "sluiceml.io"}},
		},
		{
			name: "a status already", err: fmt.Errorf("send: %w", grpcstatus.Error(codes.Unimplemented, "no such thing")),
			code: codes.Unimplemented, message: "no such thing",
		},
		{name: "a bug", err: errors.New("secret path /etc"), code: codes.Internal, message: "internal error"},
		{name: "a leaked cancel", err: context.Canceled, code: codes.Internal, message: "internal error"},
		{name: "a leaked deadline", err: context.DeadlineExceeded, code: codes.Internal, message: "internal error"},
		{
			name: "a bug in a trace", ctx: traced, err: errors.New("secret"), code: codes.Internal,
			message: "internal error; the server's log has it under trace ab0000000000000000000000000000cd",
			details: []proto.Message{&errdetails.RequestInfo{RequestId: "ab0000000000000000000000000000cd"}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx := test.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			err := test.err
			if err != nil {
				err = fmt.Errorf("generate: %w", err) // callers wrap
			}
			got := status.Of(ctx, err)
			if got.Code() != test.code || got.Message() != test.message {
				t.Errorf("got %v %q, want %v %q", got.Code(), got.Message(), test.code, test.message)
			}
			if diff := cmp.Diff(test.details, details(t, got), protocmp.Transform()); diff != "" {
				t.Errorf("details (-want +got):\n%s", diff)
			}
		})
	}
}

// row is one case of the table.
type row struct {
	name    string
	ctx     context.Context //nolint:containedctx // a table of contexts
	err     error
	code    codes.Code
	message string
	details []proto.Message
}

func unavailable(reason, info string) row {
	return row{
		name: reason, err: &inference.UnavailableError{Reason: reason},
		code: codes.Unavailable, message: "the model is not available: " + reason,
		details: []proto.Message{
			&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)},
			&errdetails.ErrorInfo{Reason: info, Domain: "sluiceml.io"},
		},
	}
}

func details(t *testing.T, st *grpcstatus.Status) []proto.Message {
	t.Helper()
	var out []proto.Message
	for _, detail := range st.Details() {
		message, ok := detail.(proto.Message)
		if !ok {
			t.Fatalf("detail %v is not a message", detail)
		}
		out = append(out, message)
	}
	return out
}

// A status travels in the trailer, so it stays small whatever was wrong, and stays valid UTF-8.
func TestOfIsBounded(t *testing.T) {
	t.Parallel()
	many := &inference.InvalidError{}
	for i := range 10_000 {
		many.Violations = append(many.Violations, inference.Violation{
			Field: fmt.Sprintf("stop.strings[%d]", i), Description: "must not be empty",
		})
	}
	huge := &inference.InvalidError{Violations: []inference.Violation{
		{Field: strings.Repeat("f", 1<<20), Description: strings.Repeat("é", 1<<20)},
	}}
	for name, err := range map[string]error{
		"many": many, "huge": huge, "name": &inference.NotFoundError{Model: "\xff" + strings.Repeat("ü", 1<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := status.Of(t.Context(), err)
			encoded, err := proto.Marshal(st.Proto())
			if err != nil {
				t.Fatal(err)
			}
			if len(encoded) > 6<<10 {
				t.Errorf("the status has %d bytes", len(encoded))
			}
			if len(st.Details()) != 1 {
				t.Errorf("details: %v", st.Details())
			}
		})
	}
	bad, ok := status.Of(t.Context(), many).Details()[0].(*errdetails.BadRequest)
	if !ok {
		t.Fatal("no BadRequest")
	}
	listed := len(bad.GetFieldViolations()) - 1
	want := fmt.Sprintf("%d more violations are not listed", len(many.Violations)-listed)
	if got := bad.GetFieldViolations()[listed].GetDescription(); listed < 10 || got != want {
		t.Errorf("after %d violations: %q, want %q", listed, got, want)
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	for code, want := range map[codes.Code]int{
		codes.OK: 200, codes.Canceled: 499, codes.Unknown: 500, codes.InvalidArgument: 400, codes.DeadlineExceeded: 504,
		codes.NotFound: 404, codes.AlreadyExists: 409, codes.PermissionDenied: 403, codes.ResourceExhausted: 429,
		codes.FailedPrecondition: 400, codes.Aborted: 409, codes.OutOfRange: 400, codes.Unimplemented: 501,
		codes.Internal: 500, codes.Unavailable: 503, codes.DataLoss: 500, codes.Unauthenticated: 401,
		codes.Code(99): http.StatusInternalServerError,
	} {
		if got := status.HTTP(code); got != want {
			t.Errorf("%v: got %d, want %d", code, got, want)
		}
	}
}

// TestQuoteIsForTheCaller shows that words which may repeat the request are in the details and not in the message,
// which is logged.
func TestQuoteIsForTheCaller(t *testing.T) {
	t.Parallel()
	st := status.Of(t.Context(), &inference.InvalidError{Violations: []inference.Violation{
		{Field: "chat.messages", Description: "refused", Quote: "roles must alternate"},
	}})
	if strings.Contains(st.Message(), "alternate") {
		t.Errorf("the message is %q", st.Message())
	}
	for _, detail := range st.Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok && bad.GetFieldViolations()[0].GetDescription() == "refused: roles must alternate" {
			return
		}
	}
	t.Errorf("the details are %v", st.Details())
}

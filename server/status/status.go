// Package status maps Sluice's errors to gRPC statuses and HTTP codes. Every adapter (the gRPC services, the foreign
// protocols, the HTTP gateway) uses this one map, so that a fault looks the same everywhere.
//
// The statuses are part of the API: each has a code, a message for people, and details for programs from
// google.rpc (BadRequest, ResourceInfo, RetryInfo, ErrorInfo, RequestInfo). What the map does not know is a bug:
// INTERNAL, with nothing of the error's text, which belongs in the log.
package status

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluiceml/sluice/inference"
)

// Domain is the domain of every ErrorInfo.
const Domain = "sluiceml.io"

// The reasons of ErrorInfo. Programs depend on them.
const (
	reasonQueueFull      = "QUEUE_FULL"       // RESOURCE_EXHAUSTED: too many requests wait
	reasonTooLate        = "TOO_LATE"         // DEADLINE_EXCEEDED: the deadline could not have been met
	reasonExpiredInQueue = "EXPIRED_IN_QUEUE" // DEADLINE_EXCEEDED: the deadline passed before the request was started
	reasonDraining       = "DRAINING"         // UNAVAILABLE: the server or the model is going away
	reasonLoading        = "LOADING"          // UNAVAILABLE: the model is not loaded yet
	reasonFailed         = "FAILED"           // UNAVAILABLE: the model failed
	reasonUnavailable    = "UNAVAILABLE"      // UNAVAILABLE for another reason
	reasonSlowReader     = "SLOW_READER"      // ABORTED: the client took nothing for too long
	reasonAdminOnly      = "ADMIN_ONLY"       // PERMISSION_DENIED: no public address takes this call
	reasonModelBusy      = "MODEL_BUSY"       // ABORTED: the model is being loaded or unloaded
	reasonDefaultModel   = "DEFAULT_MODEL"    // FAILED_PRECONDITION: the default model cannot be unloaded
	reasonNoModelStore   = "NO_MODEL_STORE"   // FAILED_PRECONDITION: the server loads nothing at run time
	reasonBrokenModel    = "BROKEN_MODEL"     // FAILED_PRECONDITION: the folder cannot be served
	reasonMemory         = "OUT_OF_MEMORY"    // RESOURCE_EXHAUSTED: the model does not fit
	reasonNoEmbeddings   = "NO_EMBEDDINGS"    // FAILED_PRECONDITION: the model gives none
)

// ModelResource is the resource type of a ResourceInfo that names a model.
const ModelResource = "sluice.v1.Model"

// defaultRetry is the advice of an error that gives none.
const defaultRetry = time.Second

// Of returns the status of err, which a call with context ctx ended with; nil is OK.
//
// A context's error is the caller's doing only if ctx itself has ended: one that leaks out of some inner context is
// a bug like any other. An error that already carries a gRPC status keeps it.
func Of(ctx context.Context, err error) *status.Status {
	if err == nil {
		return status.New(codes.OK, "")
	}
	if st := ofDomain(err); st != nil {
		return st
	}
	if ctx.Err() != nil {
		if st := ofContext(err); st != nil {
			return st
		}
	}
	if st, ok := ofCarrier(err); ok {
		return st
	}
	return ofBug(ctx)
}

// ofDomain maps the typed errors of the house; nil if err is none of them.
func ofDomain(err error) *status.Status {
	if e, ok := errors.AsType[*inference.InvalidError](err); ok {
		return ofInvalid(e)
	}
	if e, ok := errors.AsType[*inference.NotFoundError](err); ok {
		name := clip(e.Model, maxName)
		return with(codes.NotFound, (&inference.NotFoundError{Model: name}).Error(), &errdetails.ResourceInfo{
			ResourceType: ModelResource,
			ResourceName: name,
			Description:  "no served model has this name",
		})
	}
	if e, ok := errors.AsType[*inference.QueueFullError](err); ok {
		return with(codes.ResourceExhausted, e.Error(), retryInfo(e.RetryAfter),
			errorInfo(reasonQueueFull, map[string]string{"limit": strconv.Itoa(e.Limit), "of": e.Of}))
	}
	if e, ok := errors.AsType[*inference.TooLateError](err); ok {
		return with(codes.DeadlineExceeded, e.Error(), errorInfo(reasonTooLate, map[string]string{
			"need": e.Need.Round(time.Millisecond).String(), "left": e.Left.Round(time.Millisecond).String(),
		}))
	}
	if e, ok := errors.AsType[*inference.UnavailableError](err); ok {
		return with(codes.Unavailable, e.Error(), retryInfo(e.RetryAfter),
			errorInfo(unavailableReason(e.Reason), nil))
	}
	if e, ok := errors.AsType[*inference.ExpiredError](err); ok {
		waited := e.Waited.Round(time.Millisecond).String()
		return with(codes.DeadlineExceeded, e.Error(),
			errorInfo(reasonExpiredInQueue, map[string]string{"waited": waited}))
	}
	if e, ok := errors.AsType[*inference.SlowReaderError](err); ok {
		return with(codes.Aborted, e.Error(), errorInfo(reasonSlowReader, nil)) // no code that clients retry by themselves
	}
	if st := ofAuth(err); st != nil {
		return st
	}
	return ofModels(err)
}

// ofContext maps the end of the caller's own context; nil if err is no context's error.
func ofContext(err error) *status.Status {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, "the deadline passed")
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, "the call was cancelled")
	default:
		return nil
	}
}

// ofCarrier is the status that err carries, if it carries one. An OK inside an error is not one.
func ofCarrier(err error) (*status.Status, bool) {
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) {
		return nil, false
	}
	st := carrier.GRPCStatus()
	return st, st != nil && st.Code() != codes.OK
}

// ofBug is what a caller learns of a fault of ours: the trace under which the log has the rest.
func ofBug(ctx context.Context) *status.Status {
	span := trace.SpanContextFromContext(ctx)
	if !span.HasTraceID() {
		return status.New(codes.Internal, "internal error")
	}
	id := span.TraceID().String()
	return with(codes.Internal, "internal error; the server's log has it under trace "+id,
		&errdetails.RequestInfo{RequestId: id})
}

// unavailableReason names the reason of an UnavailableError for programs.
func unavailableReason(reason string) string {
	switch reason {
	case inference.ReasonDraining:
		return reasonDraining
	case inference.ReasonLoading:
		return reasonLoading
	case inference.ReasonFailed:
		return reasonFailed
	default:
		return reasonUnavailable
	}
}

func retryInfo(after time.Duration) *errdetails.RetryInfo {
	if after <= 0 {
		after = defaultRetry
	}
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(after)}
}

func errorInfo(reason string, metadata map[string]string) *errdetails.ErrorInfo {
	return &errdetails.ErrorInfo{Reason: reason, Domain: Domain, Metadata: metadata}
}

// with makes a status with details. A detail that cannot be encoded is left out: the code matters more.
func with(code codes.Code, message string, details ...protoadapt.MessageV1) *status.Status {
	st := status.New(code, strings.ToValidUTF8(message, "\uFFFD"))
	detailed, err := st.WithDetails(details...)
	if err != nil {
		return st
	}
	return detailed
}

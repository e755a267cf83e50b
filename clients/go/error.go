package sluice

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is a failed call: the server's status with its details, or gRPC's own.
//
//	if e, ok := errors.AsType[*sluice.Error](err); ok {
//		for _, v := range e.FieldViolations() {
//			…
//		}
//	}
//
// status.Code and status.FromError know it too, and errors.Is finds context.Canceled and context.DeadlineExceeded in
// it whichever side the cancel or the deadline came from.
type Error struct {
	status *status.Status
}

// newError gives an error of gRPC its type. Errors that carry no status pass unchanged.
func newError(err error) error {
	st, ok := status.FromError(err)
	if !ok || err == nil {
		return err
	}
	return &Error{status: st}
}

// Error implements error.
func (e *Error) Error() string { return "sluice: " + e.Code().String() + ": " + e.Message() }

// GRPCStatus returns the status, with which the package google.golang.org/grpc/status finds it.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// Code returns the status code.
func (e *Error) Code() codes.Code { return e.status.Code() }

// Message returns the server's text.
func (e *Error) Message() string { return e.status.Message() }

// Is implements errors.Is: see [Error].
func (e *Error) Is(target error) bool {
	code := e.Code()
	return target == context.Canceled && code == codes.Canceled ||
		target == context.DeadlineExceeded && code == codes.DeadlineExceeded
}

// FieldViolations names the fields of the request that an InvalidArgument is about, each with what is wrong.
func (e *Error) FieldViolations() []*errdetails.BadRequest_FieldViolation {
	return detail[*errdetails.BadRequest](e).GetFieldViolations()
}

// RetryAfter returns how long the server asks to wait before the next try, and false if it does not say.
func (e *Error) RetryAfter() (time.Duration, bool) {
	delay := detail[*errdetails.RetryInfo](e).GetRetryDelay()
	return delay.AsDuration(), delay.IsValid()
}

// Reason returns the machine-readable reason that the server gave, such as "QUEUE_FULL", or "".
func (e *Error) Reason() string { return detail[*errdetails.ErrorInfo](e).GetReason() }

// Resource returns the name of the resource that a NotFound is about, such as a model's name, or "".
func (e *Error) Resource() string { return detail[*errdetails.ResourceInfo](e).GetResourceName() }

// detail returns the first detail of type T, or T's nil.
func detail[T any](e *Error) (found T) {
	for _, d := range e.status.Details() {
		if d, ok := d.(T); ok {
			return d
		}
	}
	return found
}

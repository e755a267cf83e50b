package inference

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluiceml/sluice/inference/engine"
)

// InvalidError says which fields of a request are wrong.
type InvalidError struct{ Violations []Violation }

// Violation is one wrong field.
type Violation struct {
	Field       string // path in the request, e.g. "sampling.top_p"
	Description string // what is wrong and what is allowed, without the caller's text
	Quote       string // more that may repeat the caller's text: for the caller's eyes, in no log, span or metric
}

func (e *InvalidError) Error() string {
	parts := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		parts[i] = v.Field + ": " + v.Description
	}
	return "invalid request: " + strings.Join(parts, "; ")
}

// Invalid makes an InvalidError of one violation.
func Invalid(field, format string, args ...any) error {
	return &InvalidError{Violations: []Violation{{Field: field, Description: fmt.Sprintf(format, args...)}}}
}

// NotFoundError says that no served model has a name.
type NotFoundError struct{ Model string }

func (e *NotFoundError) Error() string { return fmt.Sprintf("model %q is not served here", e.Model) }

// QueueFullError says that a request was refused because too many wait.
type QueueFullError struct {
	Limit      int           // how many may wait, or for how many milliseconds
	Of         string        // of what: "requests", "tokens" of their prompts, or "time"
	RetryAfter time.Duration // when to try again, by the speed at which requests were served lately
}

func (e *QueueFullError) Error() string {
	if e.Of == string(engine.QueuedTokens) {
		return fmt.Sprintf("the queue is full: the prompts that wait may have %d tokens together", e.Limit)
	}
	if e.Of == string(engine.QueuedTime) {
		return fmt.Sprintf("the queue is full: a request may wait for %s", time.Duration(e.Limit)*time.Millisecond)
	}
	return fmt.Sprintf("the queue is full: %d requests are waiting", e.Limit)
}

// The reasons of an UnavailableError.
const (
	ReasonLoading  = "loading"
	ReasonDraining = "draining"
	ReasonFailed   = "failed"
)

// UnavailableError says that a model takes no requests now.
type UnavailableError struct {
	Reason     string        // ReasonLoading, ReasonDraining or ReasonFailed
	RetryAfter time.Duration // when to try again
}

func (e *UnavailableError) Error() string { return "the model is not available: " + e.Reason }

// ExpiredError says that a request's deadline passed before it was started.
type ExpiredError struct{ Waited time.Duration }

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("the deadline passed after %s in the queue", e.Waited.Round(time.Millisecond))
}

// TooLateError says that a request was refused at once because its deadline cannot be met.
type TooLateError struct {
	Need time.Duration // what it would take at least, by the speed that was measured
	Left time.Duration // until the deadline
}

func (e *TooLateError) Error() string {
	return fmt.Sprintf("the deadline is in %s, and the request would take %s",
		e.Left.Round(time.Millisecond), e.Need.Round(time.Millisecond))
}

// SlowReaderError says that a request was ended because its reader took nothing for too long.
type SlowReaderError struct{}

func (e *SlowReaderError) Error() string {
	return "the output was not read for too long, so that the request lost its slot"
}

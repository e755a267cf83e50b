package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluiceml/sluice/internal/panics"
)

// Errors of Submit and Output.Next.
var (
	// ErrInvalid is wrapped by the errors of a request that breaks the conditions of Request.
	ErrInvalid = errors.New("engine: invalid request")
	// ErrDraining says that the engine takes no new requests because it is being shut down.
	ErrDraining = errors.New("engine: draining")
	// ErrStopped says that Run's context ended before the request did.
	ErrStopped = errors.New("engine: stopped")
	// ErrClosed says that Output.Close ended the request.
	ErrClosed = errors.New("engine: output is closed")
	// ErrSlowReader says that the reader took nothing for Config.ReaderTimeout and lost its slot.
	ErrSlowReader = errors.New("engine: the reader was idle for too long")
)

// QueueFullError says that a request was refused because every slot is taken and the queue is full.
type QueueFullError struct {
	Limit      int           // how many may wait, or for how many milliseconds
	Of         Queued        // of what
	RetryAfter time.Duration // when a place is free, by the measured speed
}

// Queued is what a queue is limited by.
type Queued string

// What a queue is limited by.
const (
	QueuedRequests Queued = "requests"
	QueuedTokens   Queued = "tokens" // of prompts
	QueuedTime     Queued = "time"   // until a slot is free
)

func (e *QueueFullError) Error() string {
	if e.Of == QueuedTime {
		return fmt.Sprintf("engine: the queue is full: at most %d ms of waiting", e.Limit)
	}
	return fmt.Sprintf("engine: the queue is full: at most %d %s wait", e.Limit, e.Of)
}

// TooLateError says that a request was refused because its deadline can't be met.
type TooLateError struct {
	Need time.Duration // what it would take, by the measured speed
	Left time.Duration // until the deadline
}

func (e *TooLateError) Error() string {
	return fmt.Sprintf("engine: the deadline is in %s, the request would take %s", e.Left, e.Need)
}

// ExpiredError says that a request's deadline passed before its first step.
type ExpiredError struct{ Waited time.Duration }

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("engine: the deadline passed after %s in the queue", e.Waited)
}

// ExcludedError says that a request's own exclusions leave no token to draw.
type ExcludedError struct{ Token int } // which token of the output, from 0

func (e *ExcludedError) Error() string {
	return fmt.Sprintf("engine: the request excludes every token at token %d of the output", e.Token)
}

// AmbiguousError says that a request's grammar takes too much to follow: its text can be read in too many ways, or what may
// come next takes too long to find.
type AmbiguousError struct{ Token int } // which token of the output, from 0

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("engine: the request's grammar takes too much to follow at token %d of the output", e.Token)
}

// FailedError says that a request ended, or was refused, because something is broken inside.
type FailedError struct{ Err error }

func (e *FailedError) Error() string { return "engine: failed: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *FailedError) Unwrap() error { return e.Err }

// PanicError is a panic that was caught, under a FailedError.
type PanicError = panics.Error

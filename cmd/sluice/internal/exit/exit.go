// Package exit has the errors by which the command tells how a process ends: main turns them into exit codes.
package exit

import (
	"errors"
	"fmt"
)

// UsageError says that the command line, a variable or the configuration file is wrong.
type UsageError struct{ err error }

// Usage makes err the operator's to mend: a *UsageError.
func Usage(err error) error { return &UsageError{err: err} }

// Usagef is Usage of fmt.Errorf.
func Usagef(format string, args ...any) error { return &UsageError{err: fmt.Errorf(format, args...)} }

// Error implements error.
func (e *UsageError) Error() string { return e.err.Error() }

// Unwrap returns what is wrong.
func (e *UsageError) Unwrap() error { return e.err }

// ErrInterrupted says that a signal ended a command before its work was done.
var ErrInterrupted = errors.New("interrupted")

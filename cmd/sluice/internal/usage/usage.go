// Package usage marks errors that the operator has to fix: a wrong command line, environment variable or file. For them the
// command exits with a code of its own and names its help.
package usage

import "fmt"

// Error says that the command line, a variable or the configuration file is wrong.
type Error struct{ err error }

// Wrap makes err the operator's to mend: a *Error.
func Wrap(err error) error { return &Error{err: err} }

// Errorf is Wrap of fmt.Errorf.
func Errorf(format string, args ...any) error { return &Error{err: fmt.Errorf(format, args...)} }

// Error implements error.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.err }

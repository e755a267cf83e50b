// Package panics turns panics into errors.
package panics

import (
	"fmt"
	"runtime/debug"
)

// Error is a panic that was caught. It keeps where it was.
type Error struct {
	Value any // of the panic
	stack []byte
}

// New makes the error of a panic. The deferred function that has recovered the value calls it.
func New(value any) *Error { return &Error{Value: value, stack: debug.Stack()} }

// Catch runs f and makes an *Error of its panic.
func Catch(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = New(p)
		}
	}()
	return f()
}

func (e *Error) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Stack is the stack of the panic, for the log.
func (e *Error) Stack() []byte { return e.stack }

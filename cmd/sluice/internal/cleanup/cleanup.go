// Package cleanup closes things in the reverse order of their construction.
package cleanup

import (
	"errors"
	"slices"
)

// Stack is how to undo what was built so far. The zero value is empty. It is for one goroutine at a time.
type Stack []func() error

// Add says how to undo what was built last.
func (s *Stack) Add(f func() error) { *s = append(*s, f) }

// Close undoes everything, the last first, and empties the stack. It returns all errors.
func (s *Stack) Close() (err error) {
	s.CloseInto(&err)
	return err
}

// CloseInto is Close for a deferred call: it joins the errors to err.
func (s *Stack) CloseInto(err *error) {
	for _, f := range slices.Backward(*s) {
		*err = errors.Join(*err, f())
	}
	*s = nil
}

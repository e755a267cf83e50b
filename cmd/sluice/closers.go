package main

import "errors"

// closers undo what was built, last first.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

// close runs all and adds their errors to err.
func (c *closers) close(err *error) {
	for i := len(*c) - 1; i >= 0; i-- {
		*err = errors.Join(*err, (*c)[i]())
	}
	*c = nil
}

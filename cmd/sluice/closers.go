package main

import (
	"errors"
	"slices"
)

// closers undo what was built, last first.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

// close runs all and adds their errors to err.
func (c *closers) close(err *error) {
	for _, f := range slices.Backward(*c) {
		*err = errors.Join(*err, f())
	}
	*c = nil
}

// closeAll is close for one who wants the errors.
func (c *closers) closeAll() (err error) {
	c.close(&err)
	return err
}

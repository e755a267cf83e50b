package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// cursor reads a file's header from front to back. The first error sticks: later reads give zeros, and err says
// what was wrong and where.
type cursor struct {
	data []byte
	at   int
	err  error // *FormatError
}

// errTruncated is the reason when the file ends before a declared part does.
var errTruncated = errors.New("the file ends before it")

// fail notes the first error at the current position.
func (c *cursor) fail(what string, err error) { c.failAt(c.at, what, err) }

// failAt notes the first error.
func (c *cursor) failAt(at int, what string, err error) {
	if c.err == nil {
		c.err = &FormatError{Offset: int64(at), What: what, Err: err}
	}
}

// left is the number of bytes not yet read.
func (c *cursor) left() int { return len(c.data) - c.at }

// take gives the next n bytes of the file itself.
func (c *cursor) take(n int, what string) []byte {
	if c.err != nil {
		return nil
	}
	if n < 0 || n > c.left() {
		c.fail(what, fmt.Errorf("%w: %d bytes wanted, %d left", errTruncated, n, c.left()))
		return nil
	}
	b := c.data[c.at : c.at+n : c.at+n]
	c.at += n
	return b
}

func (c *cursor) uint32(what string) uint32 {
	if b := c.take(4, what); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64(what string) uint64 {
	if b := c.take(8, what); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// count reads how many things of at least size bytes each follow. More than limit, or more than the file has room
// for, is an error.
func (c *cursor) count(what string, size int, limit uint64) int {
	at := c.at
	n := c.uint64(what)
	if c.err != nil {
		return 0
	}
	if n > limit {
		c.failAt(at, what, fmt.Errorf("%d is over the limit of %d", n, limit))
		return 0
	}
	if room := uint64(c.left() / size); n > room {
		c.failAt(at, what, fmt.Errorf("%w: %d declared, room for %d", errTruncated, n, room))
		return 0
	}
	return int(n)
}

// text reads a string of at most limit bytes, without a copy.
func (c *cursor) text(what string, limit uint64) []byte {
	return c.take(c.count(what, 1, limit), what)
}

// name reads a key or a tensor's name: not empty, valid UTF-8.
func (c *cursor) name(what string, limit uint64) string {
	at := c.at
	b := c.text(what, limit)
	switch {
	case c.err != nil:
		return ""
	case len(b) == 0:
		c.failAt(at, what, errors.New("it is empty"))
		return ""
	case !utf8.Valid(b):
		c.failAt(at, what, fmt.Errorf("%.40q is not UTF-8", b))
		return ""
	}
	return string(b)
}

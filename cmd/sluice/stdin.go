package main

import (
	"context"
	"io"
	"os"

	"golang.org/x/term"
)

// interruptible reads from a reader that may block, such as a terminal, until a context ends. A read that is under way
// then is abandoned. It is for one goroutine.
type interruptible struct {
	ctx   context.Context //nolint:containedctx // io.Reader has no place for it
	from  io.Reader
	chunk []byte    // belongs to the read that is under way, then to rest
	rest  []byte    // read and not taken
	done  chan read // of the read that is under way
}

type read struct {
	n   int
	err error
}

// Read implements io.Reader. The error of an end of the context is its cause.
func (r *interruptible) Read(p []byte) (int, error) {
	if len(r.rest) > 0 {
		n := copy(p, r.rest)
		r.rest = r.rest[n:]
		return n, nil
	}
	if r.chunk == nil {
		r.chunk, r.done = make([]byte, 1<<18), make(chan read, 1)
	}
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	go func() {
		n, err := r.from.Read(r.chunk)
		r.done <- read{n, err}
	}()
	select {
	case got := <-r.done:
		n := copy(p, r.chunk[:got.n])
		r.rest = r.chunk[n:got.n]
		if len(r.rest) > 0 {
			return n, nil // an error comes again with the next read
		}
		return n, got.err
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	}
}

// terminal says whether a person would have to type what is read.
func (p *process) terminal() bool {
	from := p.stdin
	if r, ok := from.(*interruptible); ok {
		from = r.from
	}
	f, ok := from.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

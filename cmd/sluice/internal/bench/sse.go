package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Bounds of a stream of events: what a server sends is not ours to trust.
const (
	maxEventBytes  = 1 << 20
	maxStreamBytes = 256 << 20
)

var errEventTooLong = fmt.Errorf("an event is longer than %d bytes", maxEventBytes)

// events reads server-sent events as the WHATWG's HTML standard defines them (section 9.2, Server-sent events): lines
// end with CR, LF or both, the data lines of an event are joined by LF, and an event that the end of the stream cuts off
// is no event. Of an event only its data is kept. Not safe for concurrent use.
type events struct {
	from    *bufio.Reader
	line    []byte
	data    bytes.Buffer
	hasData bool
	afterCR bool // an LF that comes next belongs to the last line
	begun   bool
}

func newEvents(r io.Reader) *events {
	return &events{from: bufio.NewReader(&limited{from: r, left: maxStreamBytes})}
}

// next returns the data of the next event that has any, valid until the next call, or io.EOF.
func (e *events) next() ([]byte, error) {
	e.data.Reset()
	e.hasData = false
	for {
		line, err := e.readLine()
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			if e.hasData {
				return e.data.Bytes(), nil
			}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		if string(field) != "data" { // a comment, or a field that we have no use for
			continue
		}
		value = bytes.TrimPrefix(value, []byte(" "))
		if e.data.Len()+len(value)+1 > maxEventBytes {
			return nil, errEventTooLong
		}
		if e.hasData {
			e.data.WriteByte('\n')
		}
		e.data.Write(value)
		e.hasData = true
	}
}

// readLine returns a line without its end. What the end of the stream cuts off is dropped.
func (e *events) readLine() ([]byte, error) {
	e.line = e.line[:0]
	for {
		c, err := e.from.ReadByte()
		if err != nil {
			return nil, err
		}
		skip := e.afterCR && c == '\n'
		e.afterCR = c == '\r'
		switch {
		case skip:
			continue
		case c == '\r' || c == '\n':
			if !e.begun {
				e.begun = true
				e.line = bytes.TrimPrefix(e.line, []byte("\uFEFF"))
			}
			return e.line, nil
		case len(e.line) >= maxEventBytes:
			return nil, errEventTooLong
		}
		e.line = append(e.line, c)
	}
}

// limited is an io.Reader that fails, other than io.LimitedReader, if there is more than the limit.
type limited struct {
	from io.Reader
	left int
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("the response is too long")
	}
	n, err := l.from.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

//go:build overload

package e2e_test

import (
	"bytes"
	endian "encoding/binary" // binary is the server's
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// wire is a client of GenerateStream that costs as little as a client can: one connection, one goroutine that reads,
// headers and messages that were encoded beforehand, one write for a request, nothing decoded but frames, the lengths of
// messages and the status. Where a client has to live on the cores of the server that it loads, what it takes is taken
// from the server, which no client of another machine would do.
type wire struct {
	conn   net.Conn
	reader *http2.Framer
	header []byte // of every request
	done   chan struct{}
	err    error // why the reading ended, once done is closed

	mu     sync.Mutex
	out    bytes.Buffer         // guarded by mu: what is to be written
	writer *http2.Framer        // guarded by mu: into out
	next   uint32               // guarded by mu: id of the next stream
	window int                  // guarded by mu: what the server takes on the connection
	calls  map[uint32]*wireCall // guarded by mu
}

// wireCall is a request on its way. Its functions are called on the goroutine that reads.
type wireCall struct {
	message func(n int, now time.Time)         // the n-th event has begun to come
	end     func(status string, now time.Time) // "0" is OK
	n       int                                // events so far
	head    []byte                             // of a message, as far as it has come
	left    int                                // of the running message
}

// dialWire connects, and disconnects when the test ends.
func dialWire(t *testing.T, address string) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{conn: conn, done: make(chan struct{}), next: 1, window: 65535, calls: map[uint32]*wireCall{}}
	w.reader = http2.NewFramer(io.Discard, conn)
	w.reader.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	w.writer = http2.NewFramer(&w.out, nil)
	var header bytes.Buffer
	encoder := hpack.NewEncoder(&header)
	encoder.SetMaxDynamicTableSize(0) // the same bytes for every request
	header.Reset()
	for _, f := range [][2]string{
		{":method", "POST"},
		{":scheme", "http"},
		{":path", sluicev1.InferenceService_GenerateStream_FullMethodName},
		{":authority", address},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true}); err != nil {
			t.Fatal(err)
		}
	}
	w.header = header.Bytes()

	const unlimited = 1 << 30
	w.out.WriteString(http2.ClientPreface)
	err = errors.Join(
		w.writer.WriteSettings(
			http2.Setting{ID: http2.SettingEnablePush, Val: 0}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: unlimited}),
		w.writer.WriteWindowUpdate(0, unlimited),
		w.flush())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.done)
		w.err = w.read()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-w.done
		if w.err != nil && !errors.Is(w.err, net.ErrClosed) {
			t.Errorf("the load's connection: %v", w.err)
		}
	})
	return w
}

// encoded is a request as gRPC sends it.
func encoded(t *testing.T, request *sluicev1.GenerateRequest) []byte {
	t.Helper()
	message, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 5), request)
	if err != nil {
		t.Fatal(err)
	}
	endian.BigEndian.PutUint32(message[1:], uint32(len(message)-5))
	return message
}

// send makes a call with an encoded request.
func (w *wire) send(request []byte, call *wireCall) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.window -= len(request); w.window < 0 {
		return errors.New("the server does not read what it is sent")
	}
	id := w.next
	w.next += 2
	w.calls[id] = call
	return errors.Join(
		w.writer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: w.header, EndHeaders: true}),
		w.writer.WriteData(id, true, request),
		w.flush())
}

// cancelAll gives up the calls that are on their way. Their functions are not called any more.
func (w *wire) cancelAll() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	for id := range w.calls {
		err = errors.Join(err, w.writer.WriteRSTStream(id, http2.ErrCodeCancel))
	}
	clear(w.calls)
	return errors.Join(err, w.flush())
}

// flush writes what is there. The caller holds mu, or is alone.
func (w *wire) flush() error {
	_, err := w.conn.Write(w.out.Bytes())
	w.out.Reset()
	return err
}

// read handles what the server sends until the connection ends.
func (w *wire) read() error {
	for {
		frame, err := w.reader.ReadFrame()
		if err != nil {
			return err
		}
		now := time.Now()
		switch f := frame.(type) {
		case *http2.DataFrame:
			if call := w.call(f.StreamID, f.StreamEnded()); call != nil {
				call.take(f.Data(), now)
			}
		case *http2.MetaHeadersFrame:
			call := w.call(f.StreamID, f.StreamEnded())
			if call == nil || !f.StreamEnded() {
				continue
			}
			status := "none"
			for _, field := range f.Fields {
				if field.Name == "grpc-status" {
					status = field.Value
				}
			}
			call.end(status, now)
		case *http2.RSTStreamFrame:
			if call := w.call(f.StreamID, true); call != nil {
				call.end(f.ErrCode.String(), now)
			}
		case *http2.GoAwayFrame:
			return fmt.Errorf("the server says goodbye: %v", f.ErrCode)
		default:
			if err := w.control(frame); err != nil {
				return err
			}
		}
	}
}

// control answers frames of the connection itself.
func (w *wire) control(frame http2.Frame) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return errors.Join(w.writer.WriteSettingsAck(), w.flush())
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return errors.Join(w.writer.WritePing(true, f.Data), w.flush())
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			w.window += int(f.Increment)
		}
	}
	return nil
}

// call is the call of a stream, which is forgotten if it has ended.
func (w *wire) call(id uint32, ended bool) *wireCall {
	w.mu.Lock()
	defer w.mu.Unlock()
	call := w.calls[id]
	if ended {
		delete(w.calls, id)
	}
	return call
}

// take counts the messages whose heads are in a piece of what comes.
func (c *wireCall) take(data []byte, now time.Time) {
	for len(data) > 0 {
		if c.left > 0 {
			n := min(c.left, len(data))
			c.left, data = c.left-n, data[n:]
			continue
		}
		n := min(5-len(c.head), len(data))
		c.head, data = append(c.head, data[:n]...), data[n:]
		if len(c.head) == 5 {
			c.left, c.head = int(endian.BigEndian.Uint32(c.head[1:])), c.head[:0]
			c.n++
			c.message(c.n, now)
		}
	}
}

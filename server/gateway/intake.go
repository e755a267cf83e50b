package gateway

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
)

// firstShare is what a request's body counts for before any of it is there.
const firstShare = 4 << 10

// budget is a number of bytes, some of which are taken. It is safe for concurrent use.
type budget struct{ left atomic.Int64 }

func newBudget(bytes int64) *budget {
	b := &budget{}
	b.left.Store(bytes)
	return b
}

// take takes n bytes, or none and says so.
func (b *budget) take(n int64) bool {
	for {
		left := b.left.Load()
		if left < n {
			return false
		}
		if b.left.CompareAndSwap(left, left-n) {
			return true
		}
	}
}

// give puts n bytes back.
func (b *budget) give(n int64) { b.left.Add(n) }

// share is how much of what may come in at one time a request's body has. It grows with what has come, and not by what the
// head of the request declares: else a few clients that declare large bodies and send none would keep all others out. It is
// safe for concurrent use.
type share struct {
	all  *budget
	most int64 // of the body

	mu   sync.Mutex
	held int64 // guarded by mu
	over bool  // guarded by mu: it holds nothing, and takes nothing more
}

// hold makes the share one of n bytes at least, and says whether there was room. It grows by doubling, so that there are few steps.
func (s *share) hold(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || n <= s.held {
		return true
	}
	want := int64(firstShare)
	for want < n {
		want *= 2
	}
	want = min(want, max(n, s.most))
	if !s.all.take(want - s.held) {
		return false
	}
	s.held = want
	return true
}

// release gives the share back.
func (s *share) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.give(s.held)
	s.held, s.over = 0, true
}

// errNotIn refuses a request whose body could not be read to its end.
var errNotIn = grpcstatus.Error(codes.Canceled, "the request did not come in")

// errCutShort refuses a request whose whole body is not as long as its messages.
var errCutShort = grpcstatus.Error(codes.InvalidArgument, "the request ends in the middle of a message")

// bodyStatus is the status for an error of reading a request's body.
func bodyStatus(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errMessageTooLarge
	}
	if errors.Is(err, errOverloaded) {
		return errOverloaded
	}
	return errNotIn
}

// takeIn reads the body of a call, whose methods all take one message, before the transcoder sees it. The transcoder makes room for
// as much as a head declares, a request's or a message's, whether or not it comes; here room is made for what has come. The error
// is a status.
func takeIn(r *http.Request, kind string) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyStatus(err)
	}
	if strings.HasPrefix(kind, "application/grpc") || strings.HasPrefix(kind, "application/connect+") {
		if err := checkFrames(body); err != nil {
			return err
		}
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return nil
}

// frameHead is the number of bytes before each message in gRPC's, gRPC-Web's and Connect's streams: flags, and the length.
const frameHead = 5

// checkFrames says whether the messages of a body are as long as their heads declare.
func checkFrames(body []byte) error {
	for len(body) > 0 {
		if len(body) < frameHead {
			return errCutShort
		}
		length := int64(binary.BigEndian.Uint32(body[1:]))
		if body = body[frameHead:]; length > maxBodyBytes {
			return errMessageTooLarge
		}
		if length > int64(len(body)) {
			return errCutShort
		}
		body = body[length:]
	}
	return nil
}

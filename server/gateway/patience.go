package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// writeTimeout is how long a client may leave a piece of an answer untaken before its connection is given up. The engine
// gives its slot away sooner.
var writeTimeout = time.Minute //nolint:gochecknoglobals // a constant that a test makes short

// withPatience replaces the deadlines that the HTTP server set, which are for short exchanges: an answer may take as long
// as it takes, if the client keeps taking it. It is the call's own deadline that bounds the whole.
func withPatience(w http.ResponseWriter, r *http.Request, in *share) *patientWriter {
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{}) // a writer without deadlines needs none
	r.Body = &patientBody{
		ReadCloser: http.MaxBytesReader(w, r.Body, maxBodyBytes), control: control, in: in, leave: func() { leaveBody(w, r) },
	}
	return &patientWriter{ResponseWriter: w, control: control}
}

// patientBody has the server's deadline until it has come in. Left on, the deadline would then end the request.
type patientBody struct {
	io.ReadCloser

	control *http.ResponseController
	in      *share // released at its end
	read    int64  // bytes
	leave   func() // called if there is no room for the rest
}

// Read implements io.Reader.
func (b *patientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{}) // as above
		b.in.release()
	}
	if b.read += int64(n); !b.in.hold(b.read) {
		b.leave()
		return 0, errOverloaded
	}
	return n, err //nolint:wrapcheck // io.EOF must stay itself
}

// patientWriter has a deadline for each write, and none between: HTTP/2 ends a stream whose deadline passes, whether or not
// anything is being written.
type patientWriter struct {
	http.ResponseWriter

	control *http.ResponseController
}

// Write implements io.Writer.
func (w *patientWriter) Write(p []byte) (int, error) {
	defer w.arm()()
	return w.ResponseWriter.Write(p) //nolint:wrapcheck // it is the writer
}

// Flush implements http.Flusher.
func (w *patientWriter) Flush() { _ = w.FlushError() } // the next write finds out

// FlushError is for http.ResponseController.
func (w *patientWriter) FlushError() error {
	defer w.arm()()
	return w.control.Flush() //nolint:wrapcheck // it is the writer
}

// arm sets the deadline of a write, and returns what takes it away.
func (w *patientWriter) arm() (disarm func()) {
	_ = w.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // as above
	return func() { _ = w.control.SetWriteDeadline(time.Time{}) }
}

// Unwrap is for http.ResponseController.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

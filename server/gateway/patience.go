package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// writeTimeout is how long a client may leave a piece of an answer untaken before its connection is given up. The engine
// gives its slot away sooner.
const writeTimeout = time.Minute

// withPatience replaces the deadlines that the HTTP server set, which are for short exchanges: an answer may take as long
// as it takes, if the client keeps taking it. It is the call's own deadline that bounds the whole.
func withPatience(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{}) // a writer without deadlines needs none
	r.Body = &patientBody{ReadCloser: http.MaxBytesReader(w, r.Body, maxBodyBytes), control: control}
	return &patientWriter{ResponseWriter: w, control: control}
}

// patientBody has the server's deadline until it has come in. Left on, the deadline would then end the request.
type patientBody struct {
	io.ReadCloser

	control *http.ResponseController
}

// Read implements io.Reader.
func (b *patientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{}) // as above
	}
	return n, err //nolint:wrapcheck // io.EOF must stay itself
}

// patientWriter has a deadline for each write.
type patientWriter struct {
	http.ResponseWriter

	control *http.ResponseController
}

// Write implements io.Writer.
func (w *patientWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // as above
	return w.ResponseWriter.Write(p)                             //nolint:wrapcheck // it is the writer
}

// Flush implements http.Flusher.
func (w *patientWriter) Flush() { _ = w.control.Flush() } // the next write finds out

// Unwrap is for http.ResponseController.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// events writes server-sent events (WHATWG HTML, section 9.2), each a JSON value.
type events struct {
	w       http.ResponseWriter
	flusher *http.ResponseController
}

// newEvents begins the answer: from here on its status is 200.
func newEvents(w http.ResponseWriter) *events {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Accel-Buffering", "no") // nginx would hold the events back
	w.WriteHeader(http.StatusOK)
	return &events{w: w, flusher: http.NewResponseController(w)}
}

// send writes an event of a type; "": of the default one.
func (e *events) send(kind string, value any) error {
	text, ok := value.(json.RawMessage)
	if !ok {
		var err error
		if text, err = json.Marshal(value); err != nil {
			return fmt.Errorf("event: %w", err)
		}
	}
	if kind != "" {
		kind = "event: " + kind + "\n"
	}
	if _, err := fmt.Fprintf(e.w, "%sdata: %s\n\n", kind, text); err != nil {
		return fmt.Errorf("send event: %w", err)
	}
	if err := e.flusher.Flush(); err != nil {
		return fmt.Errorf("send event: %w", err)
	}
	return nil
}

// done writes the event by which OpenAI's API ends a stream.
func (e *events) done() {
	_, _ = e.w.Write([]byte("data: [DONE]\n\n")) // the client has gone
	_ = e.flusher.Flush()
}

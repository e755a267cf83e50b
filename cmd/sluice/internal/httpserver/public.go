package httpserver

import (
	"io"
	"net/http"
	"time"
)

// Public answers probes and scrapes: /livez says that the process runs, /readyz whether it wants calls, and so does /health,
// under which probes that were written for other servers of models ask. The rest is the gateway's, if there is one.
func Public(metrics http.Handler, ready func() bool, gateway http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answerOK(w) })
	readiness := func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		answerOK(w)
	}
	mux.HandleFunc("GET /readyz", readiness)
	mux.HandleFunc("GET /health", readiness)
	mux.Handle("GET /metrics", metrics)
	if gateway != nil {
		mux.Handle("/", gateway)
	}
	return mux
}

// answerOK tells a prober that it found what it asks for.
func answerOK(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n") // the prober may have gone
}

// ExchangeTimeout bounds the answer to a request of the public address. The gateway, whose answers take as long as they take,
// lifts it.
const ExchangeTimeout = time.Minute

package httpserver

import (
	"net/http"
	"time"
)

// Public answers probes and scrapes: /livez says that the process runs, /readyz whether it wants calls. The rest is
// the gateway's, if there is one.
func Public(metrics http.Handler, ready func() bool, gateway http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { Answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			Answer(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		Answer(w, http.StatusOK, "ok")
	})
	mux.Handle("GET /metrics", metrics)
	if gateway != nil {
		mux.Handle("/", gateway)
	}
	return mux
}

// ExchangeTimeout bounds the answer to a request of the public address. The gateway, whose answers take as long as they take,
// lifts it.
const ExchangeTimeout = time.Minute

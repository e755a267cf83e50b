package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// httpServer is an HTTP server on a listener of its own.
type httpServer struct {
	listener net.Listener
	server   *http.Server
	ended    chan error
}

// publicHandler answers probes and scrapes: /livez says that the process runs, /readyz whether it wants calls. The rest is
// the gateway's, if there is one.
func publicHandler(metrics http.Handler, ready func() bool, gateway http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			answer(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		answer(w, http.StatusOK, "ok")
	})
	mux.Handle("GET /metrics", metrics)
	if gateway != nil {
		mux.Handle("/", gateway)
	}
	return mux
}

// exchangeTimeout bounds the answer to a request of the public address. The gateway, whose answers take as long as they take,
// lifts it.
const exchangeTimeout = time.Minute

// newHTTPServer begins to serve at once, HTTP/1.1 and HTTP/2 without TLS.
func newHTTPServer(listener net.Listener, handler http.Handler, writeTimeout time.Duration, log *slog.Logger) *httpServer {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &httpServer{
		listener: listener,
		server: &http.Server{
			Handler:           handler,
			Protocols:         protocols,
			ReadHeaderTimeout: 10 * time.Second,
			ReadTimeout:       30 * time.Second,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
		ended: make(chan error, 1),
	}
	go func() { s.ended <- s.server.Serve(listener) }()
	return s
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n") // the prober has gone
}

func (s *httpServer) addr() string { return s.listener.Addr().String() }

// close waits a second for what runs and ends the rest.
func (s *httpServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		_ = s.server.Close() // ends what would not end by itself
	}
	if err := <-s.ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

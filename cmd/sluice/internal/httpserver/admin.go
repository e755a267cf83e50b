package httpserver

import (
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"strings"
	"time"

	"github.com/sluiceml/sluice/cmd/sluice/internal/logging"
	"github.com/sluiceml/sluice/internal/loopback"
)

// ProfileTimeout bounds a profile or an execution trace, which the client gives a length.
const ProfileTimeout = 10 * time.Minute

// Admin routes what comes to the admin address: gRPC calls to rpc, the rest by path.
func Admin(addr net.Addr, rpc http.Handler, level *slog.LevelVar, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("PUT /debug/pprof/rates", setProfileRates)
	mux.Handle("GET /debug/log-level", levelHandler{level, log})
	mux.Handle("PUT /debug/log-level", levelHandler{level, log})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case loopback.Addr(addr) && !localName(r.Host):
			// A page of another site that has pointed its own name at this machine.
			http.Error(w, "the admin address answers to localhost and addresses only", http.StatusForbidden)
		case r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
			rpc.ServeHTTP(w, r)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// localName says whether a Host header names this machine without asking a name server.
func localName(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")) != nil
}

// levelHandler reads and changes the level of the log: {"level": "debug"}. A change lasts until the next one, or until
// a reload sets the configured level again.
type levelHandler struct {
	level *slog.LevelVar
	log   *slog.Logger
}

// maxAdminBody bounds the body of a request to change something.
const maxAdminBody = 4 << 10

// ServeHTTP implements http.Handler.
func (h levelHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		var document struct {
			Level *logging.Level `json:"level"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdminBody)).Decode(&document); err != nil || document.Level == nil {
			http.Error(w, `want {"level": "debug"}, or info, warn, error`, http.StatusBadRequest)
			return
		}
		was, level := h.level.Level(), slog.Level(*document.Level)
		h.level.Set(min(was, level, slog.LevelInfo)) // whichever it is, this is to be seen
		h.log.InfoContext(r.Context(), "log level changed", "from", logging.Level(was).String(), "to", document.Level.String())
		h.level.Set(level)
	}
	answerJSON(w, map[string]string{"level": logging.Level(h.level.Level()).String()})
}

// profileRates turn on the two profiles that cost too much to be always on. A field that is left out stays as it is.
type profileRates struct {
	Block *int `json:"block"` // nanoseconds blocked per sample, as runtime.SetBlockProfileRate; 0: off
	Mutex *int `json:"mutex"` // one in so many contentions, as runtime.SetMutexProfileFraction; 0: off
}

// setProfileRates answers PUT /debug/pprof/rates.
func setProfileRates(w http.ResponseWriter, r *http.Request) {
	var rates profileRates
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdminBody)).Decode(&rates)
	if err != nil || rates.Block != nil && *rates.Block < 0 || rates.Mutex != nil && *rates.Mutex < 0 {
		http.Error(w, `want {"block": nanoseconds, "mutex": fraction}, 0 for off`, http.StatusBadRequest)
		return
	}
	if rates.Block != nil {
		runtime.SetBlockProfileRate(*rates.Block)
	}
	if rates.Mutex != nil {
		runtime.SetMutexProfileFraction(*rates.Mutex)
	}
	answerJSON(w, rates)
}

func answerJSON(w http.ResponseWriter, document any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document) //nolint:errchkjson // plain structs; the client may have gone
}

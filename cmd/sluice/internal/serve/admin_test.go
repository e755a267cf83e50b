package serve

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/channelz/grpc_channelz_v1"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sluiceml/sluice/cmd/sluice/internal/access"
	"github.com/sluiceml/sluice/cmd/sluice/internal/cleanup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/telemetry"
)

// admin is an admin server on a free loopback port, its log level and log.
func admin(t *testing.T) (addr string, level *slog.LevelVar, log *bytes.Buffer) {
	t.Helper()
	level, log = new(slog.LevelVar), new(bytes.Buffer)
	a := &App{
		flags: &Flags{AdminAddr: "127.0.0.1:0"}, level: level, access: unsecured(t),
		log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level})),
	}
	a.telemetry = &telemetry.SDK{Meters: noop.NewMeterProvider()}
	var undo cleanup.Stack
	if err := a.announce(nil); err != nil {
		t.Fatal(err)
	}
	if err := a.listenAdmin(t.Context(), &undo); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := undo.Close(); err != nil {
			t.Error(err)
		}
	})
	return a.admin.Addr(), level, log
}

// ask sends a request to the admin server and returns the code and body of the answer.
func ask(t *testing.T, method, url, host, body string) (code int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answered, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answered)
}

func TestAdminProfiles(t *testing.T) {
	addr, _, _ := admin(t)
	for path, want := range map[string]string{
		"/debug/pprof/":                   "heap",
		"/debug/pprof/goroutine?debug=1":  "goroutine profile",
		"/debug/pprof/cmdline":            "serve",
		"/debug/pprof/profile?seconds=1":  "", // a gzip of protobuf
		"/debug/pprof/trace?seconds=0.01": "go 1.",
	} {
		if code, text := ask(t, "GET", "http://"+addr+path, "", ""); code != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d, without %q", path, code, want)
		}
	}
	t.Cleanup(func() { runtime.SetMutexProfileFraction(0) })
	code, _ := ask(t, "PUT", "http://"+addr+"/debug/pprof/rates", "", `{"mutex": 7}`)
	if fraction := runtime.SetMutexProfileFraction(-1); code != http.StatusOK || fraction != 7 {
		t.Errorf("rates: %d, the fraction is %d", code, fraction)
	}
	if code, _ := ask(t, "PUT", "http://"+addr+"/debug/pprof/rates", "", `{"block": -1}`); code != http.StatusBadRequest {
		t.Errorf("a negative rate: %d", code)
	}
}

func TestAdminLogLevel(t *testing.T) {
	addr, level, log := admin(t)
	url := "http://" + addr + "/debug/log-level"
	for _, test := range []struct {
		method, body, want string
		code               int
	}{
		{"GET", "", `{"level":"info"}`, http.StatusOK},
		{"PUT", `{"level": "error"}`, `{"level":"error"}`, http.StatusOK},
		{"PUT", `{"level": "loud"}`, "want", http.StatusBadRequest},
		{"PUT", `{}`, "want", http.StatusBadRequest},
		{"PUT", `{"level": "debug"}`, `{"level":"debug"}`, http.StatusOK},
		{"GET", "", `{"level":"debug"}`, http.StatusOK},
		{"POST", "", "Method Not Allowed", http.StatusMethodNotAllowed},
	} {
		if code, text := ask(t, test.method, url, "", test.body); code != test.code || !strings.Contains(text, test.want) {
			t.Errorf("%s %s: %d %s", test.method, test.body, code, text)
		}
	}
	if level.Level() != slog.LevelDebug {
		t.Errorf("the level is %v", level.Level())
	}
	for _, change := range []string{"from=info to=error", "from=error to=debug"} {
		if !strings.Contains(log.String(), change) {
			t.Errorf("the log does not say %q:\n%s", change, log)
		}
	}
}

// A web page can make a browser ask a loopback address under the page's own name.
func TestAdminRefusesForeignNames(t *testing.T) {
	addr, _, _ := admin(t)
	_, port, _ := net.SplitHostPort(addr)
	for host, want := range map[string]int{
		"": http.StatusOK, "localhost": http.StatusOK, "localhost:" + port: http.StatusOK, "[::1]:" + port: http.StatusOK,
		"rebound.example:" + port: http.StatusForbidden, "rebound.example": http.StatusForbidden,
	} {
		if code, _ := ask(t, "GET", "http://"+addr+"/debug/log-level", host, ""); code != want {
			t.Errorf("host %q: %d, want %d", host, code, want)
		}
	}
}

// gRPC and HTTP share the port.
func TestAdminServesGRPC(t *testing.T) {
	addr, _, _ := admin(t)
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := grpc_channelz_v1.NewChannelzClient(conn).GetServers(t.Context(), &grpc_channelz_v1.GetServersRequest{}); err != nil {
		t.Error(err)
	}
}

func TestAdminWarnsOffLoopback(t *testing.T) {
	var log bytes.Buffer
	a := &App{flags: &Flags{AdminAddr: "0.0.0.0:0"}, telemetry: &telemetry.SDK{Meters: noop.NewMeterProvider()}, access: unsecured(t), level: new(slog.LevelVar), log: slog.New(slog.NewTextHandler(&log, nil))}
	var undo cleanup.Stack
	err := a.listenAdmin(t.Context(), &undo)
	undo.CloseInto(&err)
	if err != nil || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("%v, log:\n%s", err, log.String())
	}
}

// unsecured is the access of a server that asks nobody.
func unsecured(t *testing.T) *access.Control {
	t.Helper()
	control, err := access.New(&access.Flags{}, noop.NewMeterProvider(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return control
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sluice": main})
}

// TestScripts runs the command as a process; each file of testdata/script says what it must print and how it must end.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   filepath.Join("testdata", "script"),
		Setup: clearEnvironment,
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"exits": exitsCommand},
	})
}

// clearEnvironment gives a script an empty cache.
func clearEnvironment(env *testscript.Env) error {
	env.Setenv("SLUICE_HOME", filepath.Join(env.WorkDir, "cache"))
	return nil
}

// TestRealModel runs scripts with the cache's runtime and model.
func TestRealModel(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the real model; run without -short")
	}
	home := os.Getenv("SLUICE_HOME")
	if home == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		home = filepath.Join(cache, "sluice")
	}
	if _, err := os.Stat(filepath.Join(home, "models", "smollm2-135m-instruct", "sluice.json")); err != nil {
		t.Fatalf("%v: run `make setup`", err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "real"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("SLUICE_HOME", home)
			env.Values[servedKey{}] = new(served)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serveCommand, "signal": signalCommand, "exited": exitedCommand, "running": runningCommand, "waiting": waitingCommand,
			"logged": loggedCommand, "exits": exitsCommand, "probe": probeCommand,
		},
	})
}

// exitsCommand is `exits CODE COMMAND [ARG...]`: like exec, with the exit code that it must have.
func exitsCommand(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// patience bounds every wait of the scripts.
const patience = time.Minute

// served is the server of a script.
type served struct {
	command *exec.Cmd
	log     string // path
	ended   chan struct{}
	code    int // after ended is closed
}

// theServer finds the script's server.
func theServer(ts *testscript.TestScript) *served {
	s, _ := ts.Value(servedKey{}).(*served) // Setup has put it there
	if s.command == nil {
		ts.Fatalf("no server was started")
	}
	return s
}

type servedKey struct{}

// serveCommand is `serve [ARG...]`: it starts `sluice serve` on free ports and sets $ADDR, $HTTP and, if there is
// one, $ADMIN when it is ready.
func serveCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! serve")
	}
	s, _ := ts.Value(servedKey{}).(*served)
	*s = served{log: ts.MkAbs("serve.log"), ended: make(chan struct{})}
	log, err := os.Create(s.log)
	ts.Check(err)
	binary, err := exec.LookPath("sluice")
	ts.Check(err)
	s.command = exec.Command(binary, append([]string{
		"serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--log-format", "json", "--drain-delay", "10ms",
	}, args...)...)
	s.command.Dir = ts.MkAbs(".")
	s.command.Env = append(os.Environ(), "SLUICE_HOME="+ts.Getenv("SLUICE_HOME"))
	s.command.Stderr = log
	ts.Check(s.command.Start())
	go func() {
		defer close(s.ended)
		defer log.Close()
		if exit, ok := errors.AsType[*exec.ExitError](s.command.Wait()); ok {
			s.code = exit.ExitCode()
		}
	}()
	ts.Defer(func() {
		_ = s.command.Process.Kill() // it may have ended
		<-s.ended
	})
	s.await(ts, "the server to be ready", func() bool {
		log := ts.ReadFile(s.log)
		found := regexp.MustCompile(`"grpc_addr":"([^"]+)","http_addr":"([^"]+)"`).FindStringSubmatch(log)
		if found == nil {
			return false
		}
		if admin := regexp.MustCompile(`"admin_addr":"([^"]+)"`).FindStringSubmatch(log); admin != nil {
			ts.Setenv("ADMIN", admin[1])
		}
		ts.Setenv("ADDR", found[1])
		ts.Setenv("HTTP", found[2])
		return true
	})
}

// await polls until done says so; a server that ends before is a failure.
func (s *served) await(ts *testscript.TestScript, what string, done func() bool) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-s.ended:
			ts.Fatalf("the server ended with %d while waiting for %s\n%s", s.code, what, ts.ReadFile(s.log))
		case <-deadline.C:
			ts.Fatalf("waited too long for %s\n%s", what, ts.ReadFile(s.log))
		}
	}
}

// signalCommand is `signal TERM|INT|HUP`.
func signalCommand(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt, "HUP": syscall.SIGHUP}
	ts.Check(theServer(ts).command.Process.Signal(signals[args[0]]))
}

// exitedCommand is `exited CODE`: it waits for the server's end.
func exitedCommand(ts *testscript.TestScript, _ bool, args []string) {
	s := theServer(ts)
	select {
	case <-s.ended:
	case <-time.After(patience):
		ts.Fatalf("the server did not end\n%s", ts.ReadFile(s.log))
	}
	if got := strconv.Itoa(s.code); got != args[0] {
		ts.Fatalf("the server ended with %s, want %s\n%s", got, args[0], ts.ReadFile(s.log))
	}
}

// runningCommand is `running N`: it waits until N requests hold a slot, by the metrics.
func runningCommand(ts *testscript.TestScript, _ bool, args []string) {
	awaitGauge(ts, "sluice_requests_running", args[0])
}

// waitingCommand is `waiting N`: it waits until N requests wait for a slot, by the metrics.
func waitingCommand(ts *testscript.TestScript, _ bool, args []string) {
	awaitGauge(ts, "sluice_requests_waiting", args[0])
}

// awaitGauge waits until a gauge of the default model has a value.
func awaitGauge(ts *testscript.TestScript, name, value string) {
	want := fmt.Sprintf(`%s{model="smollm2-135m-instruct"} %s`, name, value)
	theServer(ts).await(ts, want, func() bool {
		response, err := http.Get("http://" + ts.Getenv("HTTP") + "/metrics")
		ts.Check(err)
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			if lines.Text() == want {
				_, _ = io.Copy(io.Discard, response.Body)
				return true
			}
		}
		return false
	})
}

// probeCommand is `probe PATH STATUS`.
func probeCommand(ts *testscript.TestScript, _ bool, args []string) {
	response, err := http.Get("http://" + ts.Getenv("HTTP") + args[0])
	ts.Check(err)
	defer response.Body.Close()
	if got := strconv.Itoa(response.StatusCode); got != args[1] {
		ts.Fatalf("%s answers %s, want %s", args[0], got, args[1])
	}
}

// loggedCommand is `[!] logged REGEXP`: it waits for a line of the server's log.
func loggedCommand(ts *testscript.TestScript, neg bool, args []string) {
	pattern := regexp.MustCompile(strings.Join(args, " "))
	s := theServer(ts)
	if neg {
		if pattern.MatchString(ts.ReadFile(s.log)) {
			ts.Fatalf("the log matches %q\n%s", pattern, ts.ReadFile(s.log))
		}
		return
	}
	s.await(ts, fmt.Sprintf("a log line %q", pattern), func() bool { return pattern.MatchString(ts.ReadFile(s.log)) })
}

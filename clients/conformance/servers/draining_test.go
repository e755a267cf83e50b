package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a fake sluice does, in its environment.
const (
	fakeServer = "FAKE_SLUICE_SERVER" // one that "drains": it ends with its stream; "ends" when it is told to; "hangs" at its start
	fakeAsked  = "FAKE_SLUICE_ASKED"  // a file that is made when the server is asked for its models
)

// TestMain makes of the test's binary a fake sluice too, if it is called as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		if err := fake(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// fake is a sluice whose server never says that it drains.
func fake(args []string) (err error) {
	switch args[0] {
	case "serve":
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGTERM)
		if os.Getenv(fakeServer) == "hangs" {
			<-told
			return nil
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "{\"grpc_addr\": %q, \"http_addr\": %[1]q}\n", listener.Addr())
		stream, err := listener.Accept()
		if err != nil {
			return err
		}
		<-told
		if os.Getenv(fakeServer) == "drains" {
			_, _ = io.Copy(io.Discard, stream) // it may be reset
		}
		return nil
	case "generate": // --addr ADDR …
		stream, err := net.Dial("tcp", args[2])
		if err != nil {
			return err
		}
		fmt.Fprint(os.Stdout, "x")
		_, err = io.Copy(io.Discard, stream)
		return err
	default: // models
		return errors.Join(os.WriteFile(os.Getenv(fakeAsked), nil, 0o600), errors.New("connection refused"))
	}
}

// connect connects to the fake server that is to drain, and returns once that is asked whether it does.
func connect(t *testing.T, server string) (*draining, net.Conn) {
	t.Helper()
	asked := filepath.Join(t.TempDir(), "asked")
	t.Setenv(fakeServer, server)
	t.Setenv(fakeAsked, asked)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDraining(t.Context(), binary)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", d.grpc.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the other side has
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		if _, err := os.Stat(asked); err == nil {
			tick.Stop()
			return d, conn
		}
	}
}

// TestDrainingServerThatEnds checks that nobody waits for the refusals of a server that is gone, and that it is told.
func TestDrainingServerThatEnds(t *testing.T) {
	d, conn := connect(t, "ends")
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the connection is not closed: %v", err)
	}
	if err := d.stop(); err == nil || !strings.Contains(err.Error(), "not drained but ended") {
		t.Errorf("stop: %v", err)
	}
}

// TestStopWhileAServerIsToDrain checks that stop waits for no server that does not get as far as to refuse calls.
func TestStopWhileAServerIsToDrain(t *testing.T) {
	d, _ := connect(t, "drains")
	if err := d.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// TestServerThatDoesNotStart checks that the end of its context ends the wait for a server.
func TestServerThatDoesNotStart(t *testing.T) {
	t.Setenv(fakeServer, "hangs")
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := start(ctx, binary, nil); err == nil || !strings.Contains(err.Error(), "does not serve") {
		t.Errorf("start: %v", err)
	}
}

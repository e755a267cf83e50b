package conformance_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	sluice "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// stopTimeout is how long the servers may take to stop before they are killed.
const stopTimeout = 2 * time.Minute

// server is where one server of ./servers is.
type server struct {
	Addr    string            `json:"addr"`
	CA      string            `json:"ca"`
	Cert    string            `json:"cert"`
	CertKey string            `json:"certKey"`
	Keys    map[string]string `json:"keys"`
}

// startServers starts the suite's servers until the test ends.
func startServers(t *testing.T) map[string]server {
	t.Helper()
	cmd := exec.Command("go", "run", "./servers")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // which killing takes: `go run` has the servers for a child
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		late := time.AfterFunc(stopTimeout, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer late.Stop()
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Errorf("stop the servers: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the servers do not start: %v", err)
	}
	servers := map[string]server{}
	if err := json.Unmarshal(line, &servers); err != nil {
		t.Fatal(err)
	}
	return servers
}

// writeResults notes which cases passed in the folder CONFORMANCE_RESULTS, for the table.
func writeResults(t *testing.T, passed []string) {
	t.Helper()
	dir := os.Getenv("CONFORMANCE_RESULTS")
	if dir == "" {
		return
	}
	data, err := json.Marshal(map[string]any{"client": "Go", "passed": passed})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// occupy runs a request until it is released.
func occupy(ctx context.Context, client *sluice.Client, req *sluicev1.GenerateRequest) (release func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range client.Stream(ctx, req).Deltas() {
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// untilBusy waits until so many requests of the first model run or wait.
func untilBusy(ctx context.Context, t *testing.T, client *sluice.Client, want int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		models, err := client.Models(ctx)
		if err != nil {
			t.Fatal(err)
		}
		busy := 0
		for _, replica := range models[0].GetReplicas() {
			busy += int(replica.GetRunning() + replica.GetWaiting())
		}
		if busy == want {
			return
		}
		<-tick.C
	}
}

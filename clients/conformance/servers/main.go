// Command servers starts the servers that the conformance suite of the clients runs against, says on its standard output
// where they are, as one line of JSON, and stops them when its standard input ends: a runner that dies leaves none behind.
//
//	{"default":  {"addr": "127.0.0.1:40001", "http": "127.0.0.1:40002"},
//	 "small":    {…},
//	 "secure":   {…, "ca": "/tmp/…/ca.pem", "keys": {"valid": "slk_…", …}},
//	 "mutual":   {…, "ca": "/tmp/…/ca.pem", "cert": "/tmp/…/client.pem", "certKey": "/tmp/…/client.key"},
//	 "tools":    {…},
//	 "draining": {…},
//	 "scripted": {…}}
//
// The binary is $SLUICE_BIN, else bin/sluice of the checkout, and the model the cache's: `make setup` makes both.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = 2 * time.Minute // how long a server may take to start before it is killed
	stopTimeout  = time.Minute     // how long one may take to drain before it is killed
)

// server is where one server is, as runners read it.
type server struct {
	Addr    string            `json:"addr"`              // of gRPC
	HTTP    string            `json:"http"`              // of HTTP
	CA      string            `json:"ca,omitempty"`      // file of the authority of its certificate; empty: plain text
	Cert    string            `json:"cert,omitempty"`    // file of a certificate that it takes from clients; empty: it asks for none
	CertKey string            `json:"certKey,omitempty"` // file of the private key of Cert
	Keys    map[string]string `json:"keys,omitempty"`    // API keys by the names that the cases have for them
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "servers:", err)
		os.Exit(1)
	}
}

// run serves until in ends or somebody interrupts it.
func run(in io.Reader, out io.Writer) (err error) {
	ctx, unregister := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer unregister()
	binary, err := sluice(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sluice-conformance-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	secured, secureFlags, err := secure(ctx, binary, dir)
	if err != nil {
		return err
	}
	mutual, mutualFlags, err := mutualTLS(secured, secureFlags, dir)
	if err != nil {
		return err
	}
	toolModel := filepath.Join(dir, "tools")
	if err := writeToolModel(toolModel); err != nil {
		return fmt.Errorf("make a model that calls tools: %w", err)
	}
	processes, err := startAll(ctx, binary, map[string][]string{
		"default": nil,
		"small":   {"--slots", "1", "--queue", "1"},
		"secure":  secureFlags,
		"mutual":  mutualFlags,
		"tools":   {"--model", "tools=" + toolModel},
	})
	defer func() { err = errors.Join(err, stopAll(processes)) }()
	if err != nil {
		return err
	}
	servers := map[string]*server{"default": {}, "small": {}, "secure": secured, "mutual": mutual, "tools": {}}
	for name, p := range processes {
		servers[name].Addr, servers[name].HTTP = p.addr, p.http
	}
	if err := spendQuotas(ctx, binary, secured); err != nil {
		return fmt.Errorf("spend quotas: %w", err)
	}
	drains, err := newDraining(ctx, binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drains.stop()) }()
	servers["draining"] = &server{Addr: drains.grpc.Addr().String(), HTTP: drains.http.Addr().String()}
	scripted, err := startScripted(ctx)
	if err != nil {
		return fmt.Errorf("start scripted: %w", err)
	}
	defer func() { err = errors.Join(err, scripted.stop()) }()
	servers["scripted"] = scripted.place
	if err := json.NewEncoder(out).Encode(servers); err != nil {
		return err
	}
	return waitForEnd(ctx, in)
}

// waitForEnd returns when in ends or somebody interrupts the program. Then nothing waits for what reads in any more.
func waitForEnd(ctx context.Context, in io.Reader) error {
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, in)
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

// sluice finds the binary, for a working directory anywhere in the checkout.
func sluice(ctx context.Context) (string, error) {
	if binary := os.Getenv("SLUICE_BIN"); binary != "" {
		return binary, nil
	}
	output, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	binary := filepath.Join(filepath.Dir(strings.TrimSpace(string(output))), "bin", "sluice")
	if _, err := os.Stat(binary); err != nil {
		return "", fmt.Errorf("run `make setup`: %w", err)
	}
	return binary, nil
}

// process is `sluice serve`.
type process struct {
	cmd     *exec.Cmd
	addr    string        // of gRPC
	http    string        // of HTTP
	drained chan struct{} // closed when all of its log is read
}

// start starts a server and waits until it serves: its log says where. Once it serves, it ends by stop, not with the context.
func start(ctx context.Context, binary string, flags []string) (*process, error) {
	args := append([]string{
		"serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--drain-delay", "0s", "--log-format", "json",
	}, flags...)
	cmd := exec.CommandContext(context.WithoutCancel(ctx), binary, args...) //nolint:gosec // the developer's own binary
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
	p := &process{cmd: cmd, drained: make(chan struct{})}
	var said strings.Builder
	lines := bufio.NewScanner(stderr)
	for p.addr == "" && lines.Scan() {
		var event struct {
			Addr string `json:"grpc_addr"`
			HTTP string `json:"http_addr"`
		}
		if json.Unmarshal(lines.Bytes(), &event) == nil {
			p.addr, p.http = event.Addr, event.HTTP
		}
		said.WriteString(lines.Text() + "\n")
	}
	if p.addr == "" {
		return nil, fmt.Errorf("it does not serve: %w\n%s", cmd.Wait(), said.String())
	}
	go func() {
		defer close(p.drained)
		_, _ = io.Copy(io.Discard, stderr)
	}()
	return p, nil
}

// startAll starts servers with flags, by their names. Those that it returns run, after an error too.
func startAll(ctx context.Context, binary string, flags map[string][]string) (map[string]*process, error) {
	processes := map[string]*process{}
	for name, of := range flags {
		p, err := start(ctx, binary, of)
		if err != nil {
			return processes, fmt.Errorf("start %s: %w", name, err)
		}
		processes[name] = p
	}
	return processes, nil
}

func stopAll(processes map[string]*process) (err error) {
	for _, p := range processes {
		err = errors.Join(err, p.stop())
	}
	return err
}

// stop drains the server.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.wait()
}

// wait waits for a server that drains.
func (p *process) wait() error {
	late := time.AfterFunc(stopTimeout, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	<-p.drained
	return p.cmd.Wait()
}

//go:build mesh

package meshtest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// patience bounds every wait; nothing is measured by it.
const patience = time.Minute

// absolute is a path of the repository; one that must exist.
func absolute(t *testing.T, path string) string {
	t.Helper()
	found, err := filepath.Abs(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(found); err != nil {
		t.Fatalf("%v: run `make test-mesh`", err)
	}
	return found
}

// freePort is a port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // of a test
	return listener.Addr().(*net.TCPAddr).Port
}

// output collects what a process says. It is safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wait asks until the answer is yes.
func wait(t *testing.T, what string, yes func() bool, logs ...fmt.Stringer) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s\n%v", what, logs)
		case <-tick.C:
		}
	}
}

// backend is a `sluice serve` on a port that it keeps over restarts.
type backend struct {
	t         *testing.T
	port      int
	arguments []string
	log       *output // of all its processes

	command *exec.Cmd
	exited  chan error
}

// newBackend starts one. Its drain lasts long enough for Envoy's health checks, twice a second, to notice.
func newBackend(t *testing.T, arguments ...string) *backend {
	t.Helper()
	b := &backend{t: t, port: freePort(t), arguments: arguments, log: &output{}}
	b.start()
	t.Cleanup(func() {
		if b.command != nil {
			b.stop()
		}
	})
	return b
}

func (b *backend) start() {
	b.t.Helper()
	b.command = exec.Command(absolute(b.t, "bin/sluice"), append([]string{
		"serve", "--grpc-addr", "127.0.0.1:" + strconv.Itoa(b.port), "--http-addr", "", "--log-format", "json",
		"--drain-delay", "2s", "--device", "cpu:threads=1", "--prefix-cache-bytes", "0",
	}, b.arguments...)...)
	stderr, err := b.command.StderrPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.command.Start(); err != nil {
		b.t.Fatal(err)
	}
	ready := make(chan struct{})
	b.exited = make(chan error, 1)
	go func(command *exec.Cmd, exited chan error) {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintf(b.log, "%s\n", lines.Bytes())
			var record struct {
				Message string `json:"msg"`
			}
			if json.Unmarshal(lines.Bytes(), &record) == nil && record.Message == "serving" {
				close(ready)
			}
		}
		exited <- command.Wait()
	}(b.command, b.exited)
	select {
	case <-ready:
	case err := <-b.exited:
		b.command = nil
		b.t.Fatalf("the server ended: %v\n%s", err, b.log)
	case <-time.After(patience):
		b.t.Fatalf("the server is not ready\n%s", b.log)
	}
}

// stop drains the server.
func (b *backend) stop() {
	b.t.Helper()
	if err := b.command.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Error(err)
	}
	select {
	case err := <-b.exited:
		if err != nil {
			b.t.Errorf("the server ended with %v\n%s", err, b.log)
		}
	case <-time.After(patience):
		b.t.Errorf("the server does not end\n%s", b.log)
		_ = b.command.Process.Kill()
	}
	b.command = nil
}

// connect makes a connection.
func connect(t *testing.T, port int, transport credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	if transport == nil {
		transport = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient("127.0.0.1:"+strconv.Itoa(port), grpc.WithTransportCredentials(transport))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// busy is how many requests a server runs or has waiting.
func (b *backend) busy(ctx context.Context, conn *grpc.ClientConn) (n uint32) {
	list, err := sluicev1.NewModelServiceClient(conn).ListModels(ctx, &sluicev1.ListModelsRequest{})
	if err != nil {
		b.t.Errorf("busy: %v", err)
		return 0
	}
	for _, m := range list.GetModels() {
		for _, r := range m.GetReplicas() {
			n += r.GetRunning() + r.GetWaiting()
		}
	}
	return n
}

// proxy is a running Envoy or nginx.
type proxy struct {
	port  int
	admin int // Envoy's
	log   *output
}

// launch runs a program until the test ends.
func launch(t *testing.T, log *output, program string, arguments ...string) {
	t.Helper()
	command := exec.Command(program, arguments...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait() // ended by the signal
	})
}

// configure writes a configuration of deploy/ with other ports, and further replacements, and returns its path.
func configure(t *testing.T, path string, replacements ...string) string {
	t.Helper()
	text, err := os.ReadFile(absolute(t, path))
	if err != nil {
		t.Fatal(err)
	}
	for k := 0; k < len(replacements); k += 2 {
		if !bytes.Contains(text, []byte(replacements[k])) {
			t.Fatalf("%s has no %q", path, replacements[k])
		}
	}
	file := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(file, []byte(strings.NewReplacer(replacements...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// startEnvoy runs Envoy before two ports and waits until it holds so many of them for healthy.
func startEnvoy(t *testing.T, healthy, one, two int, replacements ...string) *proxy {
	t.Helper()
	binaries, err := filepath.Glob(absolute(t, ".venv") + "/lib/python*/site-packages/envoy/_bin/envoy")
	if err != nil || len(binaries) != 1 {
		t.Fatalf("envoy: %v, %v: run `make test-mesh`", binaries, err)
	}
	p := &proxy{port: freePort(t), admin: freePort(t), log: &output{}}
	file := configure(t, "deploy/envoy/envoy.yaml", append([]string{
		"port_value: 50051", fmt.Sprintf("port_value: %d", p.port), "port_value: 9901", fmt.Sprintf("port_value: %d", p.admin),
		"port_value: 50061", fmt.Sprintf("port_value: %d", one), "port_value: 50062", fmt.Sprintf("port_value: %d", two),
	}, replacements...)...)
	launch(t, p.log, binaries[0], "-c", file, "--use-dynamic-base-id", "--concurrency", "1", "-l", "warn")
	p.waitHealthy(t, healthy)
	return p
}

// stat is a figure of Envoy's cluster; -1 while it does not answer.
func (p *proxy) stat(t *testing.T, name string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		fmt.Sprintf("http://127.0.0.1:%d/stats?filter=^cluster.sluice.%s$", p.admin, name), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return -1
	}
	defer response.Body.Close() //nolint:errcheck // read
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return -1
	}
	_, value, _ := strings.Cut(strings.TrimSpace(string(text)), ": ")
	n, err := strconv.Atoi(value)
	if err != nil {
		return -1
	}
	return n
}

func (p *proxy) waitHealthy(t *testing.T, n int) {
	t.Helper()
	wait(t, fmt.Sprintf("%d healthy servers", n), func() bool { return p.stat(t, "membership_healthy") == n }, p.log)
}

// startNginx runs nginx before two ports.
func startNginx(t *testing.T, one, two int) *proxy {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if errors.Is(err, exec.ErrNotFound) {
		program = "/usr/sbin/nginx" // not in everyone's path
	}
	p := &proxy{port: freePort(t), log: &output{}}
	file := configure(t, "deploy/nginx/nginx.conf",
		"127.0.0.1:50051", fmt.Sprintf("127.0.0.1:%d", p.port),
		"127.0.0.1:50061", fmt.Sprintf("127.0.0.1:%d", one), "127.0.0.1:50062", fmt.Sprintf("127.0.0.1:%d", two))
	folder := t.TempDir()
	launch(t, p.log, program, "-c", file, "-p", folder, "-e", "stderr",
		"-g", fmt.Sprintf("daemon off; master_process off; pid %s/pid; error_log stderr;", folder))
	wait(t, "nginx", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.port))
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	}, p.log)
	return p
}

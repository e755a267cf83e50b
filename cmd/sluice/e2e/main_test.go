package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// binary is the sluice that TestMain built; folder is where it put the float32 conversion of the default model.
var (
	binary string
	folder string
)

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Fprintln(os.Stderr, "e2e: needs the real model; run without -short")
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	directory, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(directory)
	binary = filepath.Join(directory, "sluice")
	folder = filepath.Join(directory, "none")
	for _, command := range [][]string{
		{"go", "build", "-o", binary, "github.com/sluiceml/sluice/cmd/sluice"},
		{binary, "convert", source(), "--out", folder, "--quantize", "none"},
	} {
		if output, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s\nrun `make setup` first\n", strings.Join(command, " "), err, output)
			return 1
		}
	}
	return m.Run()
}

// source is the cached GGUF of the default model.
func source() string {
	return filepath.Join(home(), "downloads", "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf")
}

func home() string {
	if home := os.Getenv("SLUICE_HOME"); home != "" {
		return home
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		panic(err)
	}
	return filepath.Join(cache, "sluice")
}

// server is a running `sluice serve`.
type server struct {
	t       testing.TB
	command *exec.Cmd
	grpc    string // address
	http    string // address
	conn    *grpc.ClientConn

	sluicev1.InferenceServiceClient
	models    sluicev1.ModelServiceClient
	tokenizer sluicev1.TokenizerServiceClient

	mu     sync.Mutex
	log    bytes.Buffer
	exited chan error
}

// serve starts the server on free loopback ports, waits until it says that it is ready, and stops it when the test
// ends.
func serve(t testing.TB, environment []string, arguments ...string) *server {
	t.Helper()
	s := &server{t: t, exited: make(chan error, 1)}
	s.command = exec.Command(binary, append([]string{
		"serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--log-format", "json", "--drain-delay", "100ms",
	}, arguments...)...)
	s.command.Env = append(os.Environ(), environment...)
	stderr, err := s.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	ready := make(chan struct{})
	go s.follow(bufio.NewScanner(stderr), ready)
	select {
	case <-ready:
	case err := <-s.exited:
		s.exited <- err
		t.Fatalf("the server ended before it was ready: %v\n%s", err, s.logged())
	case <-time.After(5 * time.Minute):
		t.Fatalf("the server was not ready in 5 minutes\n%s", s.logged())
	}
	s.conn, err = grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close() })
	s.InferenceServiceClient = sluicev1.NewInferenceServiceClient(s.conn)
	s.models = sluicev1.NewModelServiceClient(s.conn)
	s.tokenizer = sluicev1.NewTokenizerServiceClient(s.conn)
	return s
}

// follow keeps the log, tells when the server is ready and how it ended.
func (s *server) follow(lines *bufio.Scanner, ready chan<- struct{}) {
	for lines.Scan() {
		s.mu.Lock()
		s.log.Write(append(lines.Bytes(), '\n'))
		s.mu.Unlock()
		if s.grpc != "" {
			continue
		}
		var record struct {
			GRPC string `json:"grpc_addr"`
			HTTP string `json:"http_addr"`
		}
		if json.Unmarshal(lines.Bytes(), &record) == nil && record.GRPC != "" {
			s.grpc, s.http = record.GRPC, record.HTTP
			close(ready)
		}
	}
	s.exited <- s.command.Wait()
}

func (s *server) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// signal sends the process a signal.
func (s *server) signal(signal os.Signal) {
	s.t.Helper()
	if err := s.command.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// wait waits for the process to end and returns its exit code.
func (s *server) wait() int {
	s.t.Helper()
	select {
	case err := <-s.exited:
		s.exited <- err
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode()
		}
		if err != nil {
			s.t.Fatal(err)
		}
		return 0
	case <-time.After(5 * time.Minute):
		s.t.Fatalf("the server did not end in 5 minutes\n%s", s.logged())
		return -1
	}
}

func (s *server) stop() {
	select {
	case err := <-s.exited: // it has ended already
		s.exited <- err
		return
	default:
	}
	_ = s.command.Process.Signal(syscall.SIGTERM)
	if code := s.wait(); code != 0 {
		s.t.Errorf("the server ended with %d\n%s", code, s.logged())
	}
}

// tool returns the path of a program that `make test-tools` builds.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "..", ".tools", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make test-tools`", err)
	}
	return path
}

// idle waits until no replica holds or awaits a request.
func (s *server) idle(ctx context.Context) {
	s.t.Helper()
	for {
		list, err := s.models.ListModels(ctx, &sluicev1.ListModelsRequest{})
		if err != nil {
			s.t.Fatalf("waiting for an idle server: %v\n%s", err, s.logged())
		}
		busy := uint32(0)
		for _, m := range list.GetModels() {
			for _, r := range m.GetReplicas() {
				busy += r.GetRunning() + r.GetWaiting()
			}
		}
		if busy == 0 {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%d requests are still held", busy)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func greedy(maxTokens uint32) *sluicev1.Sampling {
	temperature := float32(0)
	return &sluicev1.Sampling{Temperature: &temperature, MaxTokens: &maxTokens}
}

func prompt(text string, sampling *sluicev1.Sampling) *sluicev1.GenerateRequest {
	return &sluicev1.GenerateRequest{
		Input: &sluicev1.GenerateRequest_Prompt{Prompt: text}, Sampling: sampling,
		Output: &sluicev1.OutputOptions{TokenIds: true},
	}
}

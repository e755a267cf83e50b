//go:build linux

package server_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// refusingServer is the variable that makes this test's binary the server of BenchmarkRefusalProcess.
const refusingServer = "SLUICE_REFUSING_SERVER"

// TestRefusingServer is the other process of BenchmarkRefusalProcess, and nothing by itself.
func TestRefusingServer(t *testing.T) {
	if os.Getenv(refusingServer) == "" {
		return
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := refusing(t)
	go func() { _ = i.Server.Serve(lis) }() // until refusing's server stops
	fmt.Println(lis.Addr())                 //nolint:forbidigo // to the other process
	_, _ = io.Copy(io.Discard, os.Stdin)    // until the other process closes it, or ends
}

// BenchmarkRefusalProcess measures what a refusal costs the server's process in processor time, wake-ups and system calls
// included, where they come over one connection by a Poisson process of 200 a second: server-us/op. The client is another process.
func BenchmarkRefusalProcess(b *testing.B) {
	const perSecond = 200
	command := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestRefusingServer$")
	command.Env = append(os.Environ(), refusingServer+"=1")
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimSpace(address), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	client, request := sluicev1.NewInferenceServiceClient(conn), greedy("hi", 100)
	refuse := func() {
		call, err := client.GenerateStream(b.Context(), request)
		if err == nil {
			_, err = call.Recv()
		}
		if status.Code(err) != codes.ResourceExhausted {
			b.Error(err)
		}
	}
	refuse()
	before := cpuTime(b, command.Process.Pid)
	var calls sync.WaitGroup
	random, due := rand.New(rand.NewPCG(1, 2)), time.Now()
	for b.Loop() {
		due = due.Add(time.Duration(random.ExpFloat64() * float64(time.Second) / perSecond))
		time.Sleep(time.Until(due)) //nolint:forbidigo // arrivals are by the clock
		calls.Go(refuse)
	}
	calls.Wait()
	used := cpuTime(b, command.Process.Pid) - before
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "server-us/op")
	_ = conn.Close()
	_ = in.Close()
	if err := command.Wait(); err != nil {
		b.Error(err)
	}
}

// cpuTime is the processor time that a process's threads have had.
func cpuTime(b *testing.B, pid int) (total time.Duration) {
	b.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		b.Fatal("no threads", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		var on time.Duration
		if _, err := fmt.Sscan(string(text), &on); err != nil {
			b.Fatal(err)
		}
		total += on
	}
	return total
}

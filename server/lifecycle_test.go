package server_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/servertest"
)

// check asks for the health of a service.
func check(t *testing.T, i *servertest.Instance, service string) healthpb.HealthCheckResponse_ServingStatus {
	t.Helper()
	got, err := healthpb.NewHealthClient(i.Conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		t.Fatalf("health of %q: %v", service, err)
	}
	return got.GetStatus()
}

const (
	serving    = healthpb.HealthCheckResponse_SERVING
	notServing = healthpb.HealthCheckResponse_NOT_SERVING
)

// The server serves when it wants to and every model is ready; a model when it is.
func TestHealth(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{
		servertest.Toy{Name: "one"}.Model(t), servertest.Toy{Name: "two"}.Model(t),
	})
	expect := func(when string, all, one, two healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for service, want := range map[string]healthpb.HealthCheckResponse_ServingStatus{
			"": all, "sluice.v1.InferenceService": all, "model/one": one, "model/two": two,
		} {
			if got := check(t, i, service); got != want {
				t.Errorf("%s: %q is %v, want %v", when, service, got, want)
			}
		}
	}
	expect("ready", serving, serving, serving)
	i.Server.SetServing(false)
	expect("switched off", notServing, serving, serving)
	i.Server.SetServing(true)
	expect("switched on", serving, serving, serving)
	two, err := i.Registry.Model("two")
	if err != nil {
		t.Fatal(err)
	}
	two.Drain()
	expect("two drains", notServing, serving, notServing)

	_, err = healthpb.NewHealthClient(i.Conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "model/three"})
	wantStatus(t, err, codes.NotFound)
}

// A server that has not been told to serve, or whose models have not begun, is NOT_SERVING and refuses by name.
func TestNotReady(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{servertest.Toy{}.Model(t)}, func(c *server.Config) {
		registry, err := inference.NewRegistry(servertest.Toy{Name: "never started"}.Model(t))
		if err != nil {
			t.Fatal(err)
		}
		c.Registry = registry
	})
	for _, service := range []string{"", "sluice.v1.InferenceService", "model/never started"} {
		if got := check(t, i, service); got != notServing {
			t.Errorf("%q is %v", service, got)
		}
	}
	_, err := generator(i).Generate(t.Context(), greedy("hi", 1))
	st := wantStatus(t, err, codes.Unavailable)
	if reason := detail[*errdetails.ErrorInfo](t, st).GetReason(); reason != "LOADING" {
		t.Errorf("reason %s", reason)
	}
	detail[*errdetails.RetryInfo](t, st)
}

// A watch learns of a change.
func TestHealthWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testHealthWatch)
}

func testHealthWatch(t *testing.T) {
	i := start(t, servertest.Toy{})
	watch, err := healthpb.NewHealthClient(i.Conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next := func(want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		got, err := watch.Recv()
		if err != nil || got.GetStatus() != want {
			t.Errorf("got %v, %v; want %v", got.GetStatus(), err, want)
		}
	}
	next(serving)
	i.Server.SetServing(false)
	next(notServing)
	i.Server.SetServing(true)
	next(serving)
	model, err := i.Registry.Model("")
	if err != nil {
		t.Fatal(err)
	}
	model.Drain() // nobody tells the server
	next(notServing)
}

// endless starts a stream that goes on until it is cancelled or let go, and reads its first event.
func endless(t *testing.T, i *servertest.Instance) grpc.ServerStreamingClient[sluicev1.GenerateStreamResponse] {
	t.Helper()
	in := greedy("hi", 20)
	in.Sampling.IgnoreEos = new(true)
	call, err := generator(i).GenerateStream(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if event, err := call.Recv(); err != nil || event.GetStarted() == nil {
		t.Fatalf("%v, %v", event, err)
	}
	return call
}

// The order of a shutdown: NOT_SERVING at once and calls still taken for the drain delay; then new ones refused with
// UNAVAILABLE while those that run go on; then the end, when the last has finished.
func TestShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testShutdown) // time stands still while anything can go on
}

func testShutdown(t *testing.T) {
	const delay = time.Minute
	hold := newStall()
	i := start(t, servertest.Toy{Session: inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: 4, MaxLength: 64, MaxChunk: 16}, BeforeStep: hold.step,
	}}, func(c *server.Config) { c.DrainDelay = delay })
	watch, err := healthpb.NewHealthClient(i.Conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.GetStatus() != serving {
		t.Fatalf("%v, %v", got, err)
	}
	before := endless(t, i)

	done := make(chan error, 1)
	go func() { done <- i.Server.Shutdown(t.Context()) }()
	if got, err := watch.Recv(); err != nil || got.GetStatus() != notServing {
		t.Fatalf("%v, %v", got, err)
	}
	time.Sleep(delay - time.Second) //nolint:forbidigo // of the bubble's clock
	during := endless(t, i)         // in the delay, which balancers need to notice
	if got := check(t, i, "model/toy"); got != notServing {
		t.Errorf("the model is %v", got)
	}

	time.Sleep(2 * time.Second) //nolint:forbidigo // of the bubble's clock
	for _, call := range []func() error{
		func() error { _, err := generator(i).Generate(t.Context(), greedy("hi", 1)); return err },
		func() error { _, err := stream(t.Context(), t, generator(i), greedy("hi", 1)); return err },
	} {
		st := wantStatus(t, call(), codes.Unavailable)
		detail[*errdetails.RetryInfo](t, st)
		if reason := detail[*errdetails.ErrorInfo](t, st).GetReason(); reason != "DRAINING" {
			t.Errorf("reason %s", reason)
		}
	}
	if got := check(t, i, ""); got != notServing {
		t.Errorf("the server is %v", got)
	}
	select {
	case err := <-done:
		t.Fatalf("Shutdown returned with calls running: %v", err)
	default:
	}

	close(hold.release)
	for name, call := range map[string]grpc.ServerStreamingClient[sluicev1.GenerateStreamResponse]{
		"before": before, "during": during,
	} {
		rest := told{started: &sluicev1.Started{}}
		if err := rest.read(t, call); err != nil || rest.summary.GetUsage().GetCompletionTokens() != 20 {
			t.Errorf("%s: %+v, %v", name, rest, err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := watch.Recv(); err == nil {
		t.Error("the watch goes on")
	}
}

// A shutdown that may not wait any longer cuts the calls off, and says so.
func TestShutdownIsBounded(t *testing.T) {
	t.Parallel()
	hold := newStall()
	i := start(t, servertest.Toy{Session: inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: 4, MaxLength: 64, MaxChunk: 16}, BeforeStep: hold.step,
	}}, func(c *server.Config) { c.DrainDelay = time.Hour })
	t.Cleanup(func() { close(hold.release) })
	call := endless(t, i)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.Server.Shutdown(ctx) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for {
		if _, err := call.Recv(); err != nil {
			wantStatus(t, err, codes.Unavailable)
			break
		}
	}
}

// A stop in the middle of everything leaves nothing behind (goleak) and may be repeated.
func TestStop(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	for range 8 {
		endless(t, i)
	}
	i.Server.Stop()
	i.Server.Stop()
	if err := i.Server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := i.Server.Serve(bufconn.Listen(1)); err != nil { // which the stop was faster than
		t.Error(err)
	}
	if err := i.Server.ServeLoopback(server.NewLoopback(&net.TCPAddr{})); err != nil {
		t.Error(err)
	}
}

// Calls without a deadline get one.
func TestMaxRequestDuration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testMaxRequestDuration)
}

func testMaxRequestDuration(t *testing.T) {
	hold := newStall()
	i := start(t, servertest.Toy{Session: inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: 1, MaxLength: 64, MaxChunk: 16}, BeforeStep: hold.step,
	}}, func(c *server.Config) { c.MaxRequestDuration = 10 * time.Millisecond })
	t.Cleanup(func() { close(hold.release) })
	_, err := generator(i).Generate(t.Context(), greedy("hi", 1))
	wantStatus(t, err, codes.DeadlineExceeded)
	i.Server.SetMaxRequestDuration(time.Second)
	before := time.Now()
	_, err = generator(i).Generate(t.Context(), greedy("hi", 1)) // which waits in the queue and never starts
	wantStatus(t, err, codes.DeadlineExceeded)
	if took := time.Since(before); took != time.Second { // by the clock of the bubble
		t.Errorf("after the bound was changed, a call took %s", took)
	}
}

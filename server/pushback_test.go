package server_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/servertest"
)

// TestPushback: a client of gRPC's own whose tries would be over in a second and a half waits as long as a server asks whose model
// is being loaded, and is served.
func TestPushback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testPushback) // time stands still while anything can go on
}

func testPushback(t *testing.T) {
	late := servertest.Toy{}.Model(t)
	i := servertest.Start(t, []*inference.Model{servertest.Toy{}.Model(t)}, func(c *server.Config) {
		registry, err := inference.NewRegistry(late)
		if err != nil {
			t.Fatal(err)
		}
		c.Registry = registry
	})
	loaded := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	load := time.AfterFunc(5*time.Second, func() { loaded <- late.Run(ctx) })
	defer func() {
		cancel()
		if !load.Stop() {
			<-loaded
		}
	}()

	// Without the policy: what the trailer says.
	var trailer metadata.MD
	_, err := generator(i).Generate(ctx, greedy("hello", 1), grpc.Trailer(&trailer))
	wait := detail[*errdetails.RetryInfo](t, wantStatus(t, err, codes.Unavailable)).GetRetryDelay().AsDuration()
	want := []string{strconv.FormatInt(wait.Milliseconds(), 10)}
	if got := trailer.Get("grpc-retry-pushback-ms"); wait <= 0 || !slices.Equal(got, want) {
		t.Errorf("trailer %q, RetryInfo %v", got, wait)
	}
	stream, err := generator(i).GenerateStream(ctx, greedy("hello", 1))
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantStatus(t, err, codes.Unavailable)
	if got := stream.Trailer().Get("grpc-retry-pushback-ms"); !slices.Equal(got, want) {
		t.Errorf("trailer of a stream %q", got)
	}

	patient := sluicev1.NewInferenceServiceClient(i.Dial(t, grpc.WithDefaultServiceConfig(`{"methodConfig": [{
		"name": [{"service": "sluice.v1.InferenceService"}], "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.2s",
		"maxBackoff": "5s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`)))
	if _, err := patient.Generate(ctx, greedy("hello", 1)); err != nil {
		t.Error(err)
	}
}

// TestNoPushback: what is RESOURCE_EXHAUSTED has no such trailer. RetryInfo tells a caller when to come back, and grpc-java takes a
// trailer for the order to do so, whatever codes its service config has tried again, and would wait for a quota for hours.
func TestNoPushback(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, `clients: [{name: once, key_sha256: "{once}", requests: {rate: 0.001, burst: 1}}]`, []string{"once"})
	ctx := g.as(t.Context(), "once")
	client := sluicev1.NewInferenceServiceClient(g.Dial(t))
	if _, err := client.Generate(ctx, greedy("hello", 1)); err != nil {
		t.Fatal(err)
	}
	var trailer metadata.MD
	_, err := client.Generate(ctx, greedy("hello", 1), grpc.Trailer(&trailer))
	st := wantStatus(t, err, codes.ResourceExhausted)
	if delay := detail[*errdetails.RetryInfo](t, st).GetRetryDelay().AsDuration(); delay <= 0 {
		t.Errorf("come back after %v", delay)
	}
	if got := trailer.Get("grpc-retry-pushback-ms"); len(got) > 0 {
		t.Errorf("trailer %q", got)
	}
	stream, err := client.GenerateStream(ctx, greedy("hello", 1))
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantStatus(t, err, codes.ResourceExhausted)
	if got := stream.Trailer().Get("grpc-retry-pushback-ms"); len(got) > 0 {
		t.Errorf("trailer of a stream %q", got)
	}
}

package server_test

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// TestNoPushback: RetryInfo tells a caller when to come back, and no trailer of gRPC's (grpc-retry-pushback-ms) makes a client
// wait for that by itself. grpc-java takes one for the order to try again, whatever codes its service config has tried again,
// and would wait for a quota for hours.
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

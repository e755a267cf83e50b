package server_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// TestPushback: a client of gRPC's own whose service config has RESOURCE_EXHAUSTED tried again comes when the server asks,
// and not after its backoff, which would be hours.
func TestPushback(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, `clients: [
{name: calls, key_sha256: "{calls}", requests: {rate: 10, burst: 1}},
{name: once, key_sha256: "{once}", requests: {rate: 0.001, burst: 1}}]`, []string{"calls", "once"})
	config := func(code string) grpc.DialOption {
		return grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{"service": "sluice.v1.InferenceService"}], "retryPolicy": {
			"maxAttempts": 5, "initialBackoff": "9000s", "maxBackoff": "9000s", "backoffMultiplier": 1, "retryableStatusCodes": ["` + code + `"]}}]}`)
	}
	ctx, cancel := context.WithTimeout(g.as(t.Context(), "calls"), time.Minute)
	defer cancel()
	waits := sluicev1.NewInferenceServiceClient(g.Dial(t, config("RESOURCE_EXHAUSTED")))
	for call := range 3 {
		if _, err := waits.Generate(ctx, greedy("hello", 1)); err != nil {
			t.Fatalf("call %d: %v", call, err)
		}
		stream, err := waits.GenerateStream(ctx, greedy("hello", 1))
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = stream.Recv()
		}
		if !errors.Is(err, io.EOF) {
			t.Fatalf("stream %d: %v", call, err)
		}
	}
	// The trailer makes nobody try again who does not want to.
	asks := sluicev1.NewInferenceServiceClient(g.Dial(t, config("UNAVAILABLE")))
	once := g.as(t.Context(), "once")
	if _, err := asks.Generate(once, greedy("hello", 1)); err != nil {
		t.Fatal(err)
	}
	_, err := asks.Generate(once, greedy("hello", 1))
	wantStatus(t, err, codes.ResourceExhausted)
}

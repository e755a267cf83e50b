package server_test

import (
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/servertest"
)

// TestGzip checks that clients may compress, and that a message that becomes huge is refused at the limit of messages: what is
// allocated for it does not grow with what it would become.
func TestGzip(t *testing.T) { // not parallel: it counts what the process allocates
	i := start(t, servertest.Toy{})
	client := generator(i)
	compressed := grpc.UseCompressor("gzip")

	plain, err := client.Generate(t.Context(), greedy("hi", 4))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Generate(t.Context(), greedy("hi", 4), compressed)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := answer.GetOutputs()[0].GetText(), plain.GetOutputs()[0].GetText(); got != want {
		t.Errorf("compressed %q, else %q", got, want)
	}
	stream, err := client.GenerateStream(t.Context(), greedy("hi", 4), compressed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Error(err)
	}

	const bomb = 256 << 20
	request := greedy(strings.Repeat("x", bomb), 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = client.Generate(t.Context(), request, compressed, grpc.MaxCallSendMsgSize(2*bomb))
	runtime.ReadMemStats(&after)
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "decompress") {
		t.Errorf("a bomb: %v", err)
	}
	// The client, in this process, has marshalled it once.
	if grown := after.TotalAlloc - before.TotalAlloc; grown > bomb+6*server.MaxMessageBytes {
		t.Errorf("a bomb of %d bytes allocates %d", bomb, grown)
	}
}

package server_test

import (
	"testing"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// BenchmarkStream measures what a streamed token costs beside the model: engine, façade, conversion, gRPC on both
// sides, in memory. The client lets go of each step of the toy only when it has the last one's text, so that no two
// deltas are joined: an operation is the way of one token from the step to the client and back.
func BenchmarkStream(b *testing.B) {
	const tokens = 200
	next := make(chan struct{}, tokens)
	i := servertest.Start(b, []*inference.Model{servertest.Toy{Session: inferencetest.ToyConfig{
		Limits:     runner.Limits{Slots: 1, MaxLength: 256, MaxChunk: 16},
		Script:     func([]uint32) (uint32, bool) { return 'x', true },
		BeforeStep: func(runner.Step) error { <-next; return nil },
	}}.Model(b)})
	client := sluicev1.NewInferenceServiceClient(i.Conn)
	b.ReportAllocs()
	for n := 0; n < b.N; n += tokens {
		call, err := client.GenerateStream(b.Context(), greedy("hi", tokens))
		if err != nil {
			b.Fatal(err)
		}
		for steps := 0; ; {
			event, err := call.Recv()
			if err != nil {
				b.Fatal(err)
			}
			if steps < tokens {
				steps++
				next <- struct{}{}
			}
			if event.GetSummary() != nil {
				break
			}
		}
	}
}

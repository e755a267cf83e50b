package server_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// TestTraces: asking how tokens were drawn changes none, and tells of each; so does asking for the entropy.
func TestTraces(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{servertest.Toy{}.Model(t)})
	client := generator(i)
	in := sampledFrom("Hello", 7)
	in.Sampling.TopK, in.Sampling.TopP, in.Sampling.MinP = proto.Uint32(40), proto.Float32(0.9), proto.Float32(0.02)
	in.Sampling.LogitBias = map[uint32]float32{7: 1}
	plain, err := client.Generate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	in.Output.SamplingTrace, in.Output.Entropy = true, true
	traced, err := client.Generate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	output := traced.GetOutputs()[0]
	if diff := cmp.Diff(plain.GetOutputs()[0].GetTokenIds(), output.GetTokenIds()); diff != "" {
		t.Errorf("the trace changes the tokens: %s", diff)
	}
	if len(output.GetSamplingTrace()) != len(output.GetTokenIds()) {
		t.Fatalf("%d traces of %d tokens", len(output.GetSamplingTrace()), len(output.GetTokenIds()))
	}
	for n, trace := range output.GetSamplingTrace() {
		var names []string
		left := servertest.VocabSize
		for _, step := range trace.GetSteps() {
			names = append(names, step.GetName())
			left -= int(step.GetRemoved())
			if len(step.GetRemovedTokens()) != min(5, int(step.GetRemoved())) {
				t.Errorf("token %d: step %v", n, step)
			}
		}
		if diff := cmp.Diff([]string{"logit_bias", "temperature", "top_k", "top_p", "min_p"}, names); diff != "" {
			t.Errorf("token %d: %s", n, diff)
		}
		if left != int(trace.GetCandidates()) || trace.GetProbability() <= 0 || trace.GetProbability() > 1 {
			t.Errorf("token %d: %d are left: %v", n, left, trace)
		}
	}
	for n, position := range output.GetLogprobs() {
		if e := float64(position.GetEntropy()); position.Entropy == nil || e < 0 || e > math.Log(servertest.VocabSize) {
			t.Errorf("token %d: entropy %v", n, position.Entropy)
		}
	}
	streamed := mustStream(t, client, in)
	var traces []*sluicev1.SamplingTrace
	for _, delta := range streamed.all {
		traces = append(traces, delta.GetSamplingTrace()...)
	}
	if diff := cmp.Diff(output.GetSamplingTrace(), traces, protocmp.Transform()); diff != "" {
		t.Errorf("-whole +streamed\n%s", diff)
	}
}

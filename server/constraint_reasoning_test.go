package server_test

import (
	"encoding/json"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// A budget of thinking writes no closing tag into an output that a constraint holds from its first token on.
func TestConstraintBeforeThinking(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{servertest.Toy{
		Template: toolTemplate, Reasoning: answer.Reasonings()[0],
		Session: inferencetest.ToyConfig{Limits: runner.Limits{Slots: 4, MaxLength: 512, MaxChunk: 64}},
	}.Model(t)})
	in := chatOf("Really?")
	in.GetChat().TemplateArgs = `{"opens": true}`
	in.Sampling = &sluicev1.Sampling{MaxTokens: proto.Uint32(200), Temperature: new(float32), MaxThinkingTokens: proto.Uint32(2)}
	in.Constraint = &sluicev1.Constraint{Kind: &sluicev1.Constraint_JsonSchema{JsonSchema: `{"enum": ["a long value", "another long value"]}`}}
	got, err := generator(i).Generate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if text := got.GetOutputs()[0].GetText(); !json.Valid([]byte(text)) {
		t.Errorf("%q", text)
	}
	if n := got.GetUsage().GetReasoningTokens(); n != 0 {
		t.Errorf("%d tokens of reasoning", n)
	}
}

// A traced draw that fails leaves nothing to the draws of others.
func TestTraceOfAFailedDraw(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{servertest.Toy{}.Model(t)})
	client := generator(i)
	in := greedy("x", 4)
	in.Output = &sluicev1.OutputOptions{SamplingTrace: true}
	in.Constraint = &sluicev1.Constraint{Kind: &sluicev1.Constraint_Regex{Regex: "a"}}
	in.Sampling.AllowedTokenIds = []uint32{'b'}
	if _, err := client.Generate(t.Context(), in); status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	if _, err := client.Generate(t.Context(), greedy("x", 4)); err != nil {
		t.Error(err)
	}
	in = greedy("x", 1)
	in.Output = &sluicev1.OutputOptions{SamplingTrace: true}
	got, err := client.Generate(t.Context(), in)
	if err != nil || len(got.GetOutputs()[0].GetSamplingTrace()) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

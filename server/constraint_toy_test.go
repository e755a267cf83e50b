package server_test

import (
	"regexp"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// TestConstraintsTogether: requests that share a compiled constraint, and the steps that they are drawn in, conform each;
// the toy's tokens are bytes and its text nonsense.
func TestConstraintsTogether(t *testing.T) {
	client := generator(servertest.Start(t, []*inference.Model{servertest.Toy{}.Model(t)}))
	want := regexp.MustCompile(`^[a-f]{3,9}(é|€)+![0-9]$`)
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			got, err := client.Generate(t.Context(), &sluicev1.GenerateRequest{
				Input:      &sluicev1.GenerateRequest_Prompt{Prompt: "hello"},
				Sampling:   &sluicev1.Sampling{Temperature: new(float32(1)), MaxTokens: new(uint32(200)), MinTokens: new(uint32(100)), N: new(uint32(2)), Seed: new(uint64(i))},
				Constraint: &sluicev1.Constraint{Kind: &sluicev1.Constraint_Regex{Regex: strings.Trim(want.String(), "^$")}},
			})
			if err != nil {
				t.Error(err)
				return
			}
			for _, output := range got.GetOutputs() {
				if output.GetFinishReason() == sluicev1.FinishReason_FINISH_REASON_STOP && !want.MatchString(output.GetText()) {
					t.Errorf("%q does not conform", output.GetText())
				}
				if strings.HasSuffix(output.GetText(), "!") {
					t.Errorf("%q is not at its end", output.GetText())
				}
			}
		})
	}
	group.Wait()
}

// TestConstraintLeavesNothing: where a request's own exclusions take all that its constraint allows, that is its fault.
func TestConstraintLeavesNothing(t *testing.T) {
	client := generator(servertest.Start(t, []*inference.Model{servertest.Toy{}.Model(t)}))
	in := greedy("hello", 8)
	in.Sampling.AllowedTokenIds = []uint32{'x', 'y'}
	in.Constraint = &sluicev1.Constraint{Kind: &sluicev1.Constraint_Regex{Regex: `x*z`}}
	in.Sampling.NoRepeatNgramSize = new(uint32(1))
	_, err := client.Generate(t.Context(), in)
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v, want INVALID_ARGUMENT", err)
	}
}

// TestConstraintTakesTooMuch: where a grammar can be read in ever more ways, that is the request's fault, and the next one is
// served.
func TestConstraintTakesTooMuch(t *testing.T) {
	client := generator(servertest.Start(t, []*inference.Model{servertest.Toy{}.Model(t)}))
	in := greedy("hello", 60)
	in.Sampling.AllowedTokenIds = []uint32{'a'}
	in.Constraint = &sluicev1.Constraint{Kind: &sluicev1.Constraint_Grammar{
		Grammar: "root ::= s\ns ::= \"a\" s \"b\" | \"a\" s \"c\" | \"a\" s s | \"a\"\n", //nolint:dupword // not words
	}}
	_, err := client.Generate(t.Context(), in)
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(status.Convert(err).Message(), "constraint") {
		t.Errorf("%v, want INVALID_ARGUMENT on constraint", err)
	}
	in.Constraint.Kind = &sluicev1.Constraint_Regex{Regex: "a*"}
	if _, err := client.Generate(t.Context(), in); err != nil {
		t.Errorf("the next request: %v", err)
	}
}

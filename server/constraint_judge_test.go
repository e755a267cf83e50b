//go:build cgo && grammar

package server_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/grammar/grammartest"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// TestGeneratedJSON lets the default model answer by many schemas at temperature 1 and has every answer that came to its
// end validated by Python's jsonschema. GRAMMAR_SCHEMAS is how many schemas; GRAMMAR_TEXTS names a file for the texts.
func TestGeneratedJSON(t *testing.T) {
	python := os.Getenv("GRAMMAR_PYTHON")
	if python == "" {
		t.Skip("GRAMMAR_PYTHON names no interpreter; run make test-grammar")
	}
	count, err := strconv.Atoi(os.Getenv("GRAMMAR_SCHEMAS"))
	if err != nil {
		count = 60
	}
	client := generator(servertest.Start(t, []*inference.Model{realModel(t)}))
	type text struct {
		Schema string `json:"schema"`
		Text   string `json:"text"`
	}
	texts := make([]text, count)
	var next, cut, tokens atomic.Int64
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
				schema := grammartest.Schema(i)
				got, err := client.Generate(t.Context(), &sluicev1.GenerateRequest{
					Input: &sluicev1.GenerateRequest_Chat{Chat: &sluicev1.Chat{Messages: []*sluicev1.Message{
						{Role: "user", Content: "Make up an example. Answer with JSON of this schema: " + schema},
					}}},
					Sampling:   &sluicev1.Sampling{Temperature: new(float32(1)), MaxTokens: new(uint32(400)), Seed: new(uint64(i))},
					Constraint: &sluicev1.Constraint{Kind: &sluicev1.Constraint_JsonSchema{JsonSchema: schema}},
				})
				if err != nil {
					t.Errorf("schema %d: %v", i, err)
					continue
				}
				output := got.GetOutputs()[0]
				tokens.Add(int64(got.GetUsage().GetCompletionTokens()))
				if output.GetFinishReason() != sluicev1.FinishReason_FINISH_REASON_STOP {
					cut.Add(1)
					continue
				}
				texts[i] = text{schema, output.GetText()}
			}
		})
	}
	workers.Wait()
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for _, text := range texts {
		if text.Schema != "" {
			if err := encoder.Encode(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if path := os.Getenv("GRAMMAR_TEXTS"); path != "" {
		if err := os.WriteFile(path, lines.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), python, "../inference/grammar/testdata/validate.py")
	cmd.Stdin = &lines
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
	}
	t.Logf("%d schemas, %d answers cut by max_tokens, %d tokens; jsonschema: %s", count, cut.Load(), tokens.Load(), out)
}

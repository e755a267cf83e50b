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
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/grammar/grammartest"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// TestGeneratedJSON lets the default model answer by many schemas at temperature 1 and has every answer that came to its
// end validated by Python's jsonschema. GRAMMAR_SCHEMAS is how many schemas, GRAMMAR_LOGIC how many more of keywords that
// exclude, count and depend (a quarter as many); GRAMMAR_TEXTS names a file for the texts.
func TestGeneratedJSON(t *testing.T) {
	python := os.Getenv("GRAMMAR_PYTHON")
	if python == "" {
		t.Fatal("GRAMMAR_PYTHON names no interpreter; run make test-grammar")
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
	usual := count
	if more, err := strconv.Atoi(os.Getenv("GRAMMAR_LOGIC")); err == nil {
		count += more
	} else {
		count += (count + 3) / 4
	}
	texts := make([]text, count)
	var next, cut, tokens atomic.Int64
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
				schema := grammartest.Schema(i)
				if i >= usual {
					schema = grammartest.Logic(i - usual)
				}
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

// TestOverhead measures what a constraint costs: processor time for each token, of a schema's text and of text as it comes,
// in turn. It asserts nothing.
func TestOverhead(t *testing.T) {
	if os.Getenv("GRAMMAR_PYTHON") == "" {
		t.Fatal("run make test-grammar")
	}
	client := generator(servertest.Start(t, []*inference.Model{realModel(t)}))
	const streams, tokens = 8, 64
	run := func(constraint *sluicev1.Constraint) time.Duration {
		began := processorTime(t)
		var group sync.WaitGroup
		for i := range streams {
			group.Go(func() {
				got, err := client.Generate(t.Context(), &sluicev1.GenerateRequest{
					Input:      &sluicev1.GenerateRequest_Prompt{Prompt: "A story as JSON:\n"},
					Sampling:   &sluicev1.Sampling{Temperature: new(float32(1)), MaxTokens: new(uint32(tokens)), MinTokens: new(uint32(tokens)), Seed: new(uint64(i))},
					Constraint: constraint,
				})
				if err != nil || got.GetUsage().GetCompletionTokens() != tokens {
					t.Error(got.GetUsage(), err)
				}
			})
		}
		group.Wait()
		return (processorTime(t) - began) / (streams * tokens)
	}
	// Objects of four members each, and strings long enough that the text is not at its end before max_tokens.
	held := schema(`{"type":"array","minItems":40,"items":{"type":"object","properties":{"title":{"type":"string","minLength":20},"year":{"type":"integer","minimum":1,"maximum":2100},"genre":{"enum":["fable","crime","love"]},"lines":{"type":"array","items":{"type":"string","minLength":30,"maxLength":200},"minItems":2}},"required":["title","year","genre","lines"],"additionalProperties":false}}`)
	run(nil)
	run(held)
	var free, bound time.Duration
	const rounds = 3
	for range rounds {
		free += run(nil)
		bound += run(held)
	}
	t.Logf("processor time for a token: %s without, %s with a schema: %+.1f %%", free/rounds, bound/rounds, 100*(float64(bound)/float64(free)-1))
}

// processorTime is what this process has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

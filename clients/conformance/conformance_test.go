// Package conformance_test runs the cases of this folder with the Go client. README.md says what they mean.
package conformance_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	sluice "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// timeout is how long a case may take; only a call that hangs takes so long.
const timeout = 2 * time.Minute

// testCase is an entry of cases.json.
type testCase struct {
	Name         string          `json:"name"`
	About        string          `json:"about"`
	Call         string          `json:"call"`
	Request      json.RawMessage `json:"request"`
	Before       json.RawMessage `json:"before"`
	Server       string          `json:"server"`
	Key          string          `json:"key"`
	TLS          string          `json:"tls"`
	PromptRepeat int             `json:"promptRepeat"`
	Parallel     int             `json:"parallel"`
	Occupy       int             `json:"occupy"`
	CancelAfter  int             `json:"cancelAfter"`
	LeaveAfter   int             `json:"leaveAfter"`
	StallAfter   int             `json:"stallAfter"`
	DeadlineMs   int             `json:"deadlineMs"`
	Retry        bool            `json:"retry"`
	Expect       expectation     `json:"expect"`
}

func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the real model; run without -short")
	}
	cases := readCases(t)
	servers := startServers(t)
	passed := []string{}
	for i := range cases {
		c := &cases[i]
		if t.Run(c.Name, func(t *testing.T) { c.run(t, servers) }) {
			passed = append(passed, c.Name)
		}
	}
	writeResults(t, passed)
}

// TestReadme checks that the README's table has the cases.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range readCases(t) {
		if row := "\n| `" + c.Name + "` | " + c.About + " |"; !strings.Contains(string(readme), row) {
			t.Errorf("%s is not in the table: run `make conformance`", c.Name)
		}
	}
}

func readCases(t *testing.T) []testCase {
	t.Helper()
	data, err := os.ReadFile("cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []testCase
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields() // what nobody checks shows nothing
	if err := decoder.Decode(&cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// run does what the case says and checks what it expects.
func (c *testCase) run(t *testing.T, servers map[string]server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	client := c.client(t, servers)
	defer client.Close()

	if c.Before != nil {
		before := &sluicev1.GenerateRequest{}
		decode(t, c.Before, before)
		if _, err := client.Generate(ctx, before); err != nil {
			t.Fatal(err)
		}
	}
	var releases []func()
	for i := range c.Occupy {
		releases = append(releases, occupy(ctx, client, c.generateRequest(t)))
		untilBusy(ctx, t, client, i+1)
	}
	c.call(ctx, t, client)
	for _, release := range releases {
		release()
	}
	if c.Expect.Idle {
		untilBusy(ctx, t, client, 0)
	}
}

// call makes the case's calls.
func (c *testCase) call(ctx context.Context, t *testing.T, client *sluice.Client) {
	t.Helper()
	unary := func(req *sluicev1.GenerateRequest) *answer {
		return c.attempt(t, func() (*answer, error) { return c.generate(ctx, client, req) })
	}
	streaming := func(req *sluicev1.GenerateRequest) *answer {
		return c.attempt(t, func() (*answer, error) { return c.stream(ctx, t, client, req) })
	}
	switch c.Call {
	case "generate":
		unary(c.generateRequest(t))
	case "stream":
		streaming(c.generateRequest(t))
	case "both":
		whole, streamed := unary(c.generateRequest(t)), streaming(c.generateRequest(t))
		if whole != nil && streamed != nil {
			checkSame(t, whole, streamed)
		}
	case "score":
		req := &sluicev1.ScoreRequest{}
		decode(t, c.Request, req)
		res, err := client.Score(ctx, req)
		if c.Expect.checkStatus(t, err) {
			c.Expect.checkScores(t, res.GetScores())
		}
	case "explain":
		req := &sluicev1.ExplainRequest{}
		decode(t, c.Request, req)
		res, err := client.Explain(ctx, req)
		if c.Expect.checkStatus(t, err) {
			c.Expect.checkExplanation(t, res)
		}
	case "embed":
		req := &sluicev1.EmbedRequest{}
		decode(t, c.Request, req)
		res, err := client.Embed(ctx, req)
		if c.Expect.checkStatus(t, err) {
			c.Expect.checkVectors(t, res.GetEmbeddings())
		}
	case "tokenize", "detokenize", "countTokens":
		c.tokenizer(ctx, t, client)
	default:
		t.Fatalf("unknown call %q", c.Call)
	}
}

// tokenizer makes a call of the tokenizer.
func (c *testCase) tokenizer(ctx context.Context, t *testing.T, client *sluice.Client) {
	t.Helper()
	switch c.Call {
	case "tokenize":
		req := &sluicev1.TokenizeRequest{}
		decode(t, c.Request, req)
		tokens, err := client.Tokenize(ctx, req)
		if c.Expect.checkStatus(t, err) {
			c.Expect.checkTokens(t, tokens)
		}
	case "detokenize":
		req := &sluicev1.DetokenizeRequest{}
		decode(t, c.Request, req)
		text, err := client.Detokenize(ctx, req)
		if c.Expect.checkStatus(t, err) {
			c.Expect.checkText(t, text)
		}
	case "countTokens":
		req := &sluicev1.CountTokensRequest{}
		decode(t, c.Request, req)
		res, err := client.CountTokens(ctx, req)
		if c.Expect.checkStatus(t, err) && res.GetCount() != c.Expect.PromptTokens {
			t.Errorf("%d tokens, want %d", res.GetCount(), c.Expect.PromptTokens)
		}
	}
}

// client makes the client that the case calls with.
func (c *testCase) client(t *testing.T, servers map[string]server) *sluice.Client {
	t.Helper()
	at, ok := servers[cmp.Or(c.Server, "default")]
	if !ok {
		t.Fatalf("unknown server %q", c.Server)
	}
	var opts []sluice.Option
	if at.CA != "" {
		switch c.TLS {
		case "", "ca":
			opts = append(opts, sluice.WithCAFile(at.CA))
		case "certificate":
			opts = append(opts, sluice.WithCAFile(at.CA), sluice.WithClientCertificateFiles(at.Cert, at.CertKey))
		case "system":
			opts = append(opts, sluice.WithTLS(nil))
		case "none":
		default:
			t.Fatalf("unknown tls %q", c.TLS)
		}
	}
	if at.Keys != nil && c.Key != "none" {
		key, ok := at.Keys[cmp.Or(c.Key, "valid")]
		if !ok {
			t.Fatalf("unknown key %q", c.Key)
		}
		opts = append(opts, sluice.WithAPIKey(key))
	}
	if !c.Retry {
		opts = append(opts, sluice.WithoutRetry())
	}
	client, err := sluice.New(at.Addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func decode(t *testing.T, data []byte, req proto.Message) {
	t.Helper()
	if err := protojson.Unmarshal(data, req); err != nil {
		t.Fatal(err)
	}
}

func (c *testCase) generateRequest(t *testing.T) *sluicev1.GenerateRequest {
	t.Helper()
	req := &sluicev1.GenerateRequest{}
	decode(t, c.Request, req)
	if c.PromptRepeat > 0 {
		req.Input = &sluicev1.GenerateRequest_Prompt{Prompt: strings.Repeat(req.GetPrompt(), c.PromptRepeat)}
	}
	return req
}

// attempt makes the case's call, as often at once as it says, and returns the first answer; nil where none is expected.
func (c *testCase) attempt(t *testing.T, call func() (*answer, error)) *answer {
	t.Helper()
	answers := make([]*answer, max(c.Parallel, 1))
	errs := make([]error, len(answers))
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() { answers[i], errs[i] = call() })
	}
	group.Wait()
	for i, err := range errs {
		switch {
		case !c.Expect.checkStatus(t, err):
			return nil
		case c.LeaveAfter > 0:
			if answers[i].usage != nil {
				t.Errorf("left the stream, and yet it ended with the usage %v", answers[i].usage)
			}
			return nil
		}
		c.Expect.checkAnswer(t, answers[i])
		if got, want := answers[i].outputs[0].GetText(), answers[0].outputs[0].GetText(); got != want {
			t.Errorf("call %d gives %q, call 0 %q", i, got, want)
		}
	}
	return answers[0]
}

func (c *testCase) generate(ctx context.Context, client *sluice.Client, req *sluicev1.GenerateRequest) (*answer, error) {
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	res, err := client.Generate(ctx, req)
	if err != nil {
		return nil, err
	}
	return &answer{res.GetId(), res.GetModel(), res.GetOutputs(), res.GetUsage(), res.GetPromptLogprobs(), -1}, nil
}

func (c *testCase) stream(
	ctx context.Context, t *testing.T, client *sluice.Client, req *sluicev1.GenerateRequest,
) (*answer, error) {
	t.Helper()
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	stream := client.Stream(ctx, req)
	outputs := map[uint32]*sluicev1.Output{}
	a := &answer{}
	seen := 0
	for delta, err := range stream.Deltas() {
		if err != nil {
			if began := stream.Started() != nil; began != c.Expect.Started {
				// Not wrapped, or it would count as the failure that is expected.
				return nil, fmt.Errorf("started %v before it failed: %s", began, err.Error())
			}
			return nil, err
		}
		output := outputs[delta.GetIndex()]
		if output == nil {
			output = &sluicev1.Output{Index: delta.GetIndex()}
			outputs[delta.GetIndex()] = output
		}
		output.Text += delta.GetText()
		output.TokenIds = append(output.TokenIds, delta.GetTokenIds()...)
		output.Logprobs = append(output.Logprobs, delta.GetLogprobs()...)
		joinCalls(output, delta.GetToolCalls())
		if delta.GetText() != "" {
			a.deltas++
		}
		if strings.ContainsRune(delta.GetText(), '\uFFFD') {
			return nil, fmt.Errorf("the delta %q is no whole text", delta.GetText())
		}
		seen++
		if seen == c.CancelAfter {
			cancel()
		}
		if seen == c.StallAfter {
			untilBusy(ctx, t, client, 0)
		}
		if seen == c.LeaveAfter {
			break
		}
	}
	a.id, a.model = stream.Started().GetId(), stream.Started().GetModel()
	a.usage, a.promptLogprobs = stream.Summary().GetUsage(), stream.PromptLogprobs()
	a.outputs = make([]*sluicev1.Output, len(stream.Finished()))
	for _, f := range stream.Finished() {
		output := outputs[f.GetIndex()]
		if output == nil {
			output = &sluicev1.Output{Index: f.GetIndex()}
		}
		output.FinishReason, output.StopSequence, output.Seed = f.GetFinishReason(), f.GetStopSequence(), f.GetSeed()
		a.outputs[f.GetIndex()] = output
	}
	return a, nil
}

// joinCalls adds fragments of tool calls to an output.
func joinCalls(output *sluicev1.Output, fragments []*sluicev1.ToolCallDelta) {
	for _, f := range fragments {
		i := int(f.GetIndex())
		switch {
		case f.GetRetracted():
			output.ToolCalls = output.GetToolCalls()[:i]
		case i == len(output.GetToolCalls()):
			call := &sluicev1.ToolCall{Id: f.GetId(), Name: f.GetName(), Arguments: f.GetArguments()}
			output.ToolCalls = append(output.ToolCalls, call)
		default:
			output.ToolCalls[i].Arguments += f.GetArguments()
		}
	}
}

func (c *testCase) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.DeadlineMs == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(c.DeadlineMs)*time.Millisecond)
}

package conformance_test

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	sluice "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// expectation is a case's `expect`. A nil or zero field is not checked.
type expectation struct {
	Code     string   `json:"code"`
	Fields   []string `json:"fields"`
	Reason   string   `json:"reason"`
	Resource string   `json:"resource"`
	// RetryAfter asks for a RetryInfo.
	RetryAfter bool `json:"retryAfter"`
	Started    bool `json:"started"`

	ID               string   `json:"id"`
	Text             *string  `json:"text"`
	TextPrefix       string   `json:"textPrefix"`
	TextIn           []string `json:"textIn"`
	JSONKeys         []string `json:"jsonKeys"`
	FinishReasons    []string `json:"finishReasons"`
	StopSequence     string   `json:"stopSequence"`
	Seeds            []string `json:"seeds"`
	PromptTokens     uint32   `json:"promptTokens"`
	CompletionTokens uint32   `json:"completionTokens"`
	MinDeltas        int      `json:"minDeltas"`
	TokenIDs         bool     `json:"tokenIds"`
	Logprobs         *int     `json:"logprobs"`
	PromptLogprobs   bool     `json:"promptLogprobs"`
	Idle             bool     `json:"idle"`
	ToolCalls        []struct {
		Name      string         `json:"name"`
		Arguments map[string]any `json:"arguments"`
	} `json:"toolCalls"`

	Best         int         `json:"best"`
	Tokens       []uint32    `json:"tokens"`
	IDs          []uint32    `json:"ids"`
	VectorSizes  []int       `json:"vectorSizes"`
	AnswerTokens uint32      `json:"answerTokens"`
	Segments     [][2]uint32 `json:"segments"`
}

// answer is a unary answer or a stream's, in one form.
type answer struct {
	id, model      string
	outputs        []*sluicev1.Output
	usage          *sluicev1.Usage
	promptLogprobs []*sluicev1.TokenLogprobs
	deltas         int // those with text; below 0 if it was not streamed
}

// checkStatus checks how a call ended and reports whether it gave an answer to be checked.
func (e *expectation) checkStatus(t *testing.T, err error) bool {
	t.Helper()
	if e.Code == "" {
		if err != nil {
			t.Error(err)
		}
		return err == nil
	}
	var want codes.Code
	if err := want.UnmarshalJSON([]byte(strconv.Quote(e.Code))); err != nil {
		t.Fatal(err)
	}
	failure, ok := errors.AsType[*sluice.Error](err)
	if !ok || status.Code(err) != want {
		t.Errorf("got %v, want %v", err, want)
		return false
	}
	fields := []string{}
	for _, v := range failure.FieldViolations() {
		fields = append(fields, v.GetField())
		if v.GetDescription() == "" {
			t.Errorf("the violation of %s has no description", v.GetField())
		}
	}
	slices.Sort(fields)
	if !slices.Equal(fields, slices.Sorted(slices.Values(e.Fields))) {
		t.Errorf("violations of %q, want %q", fields, e.Fields)
	}
	if e.Reason != "" && failure.Reason() != e.Reason {
		t.Errorf("reason %q, want %q", failure.Reason(), e.Reason)
	}
	if failure.Resource() != e.Resource {
		t.Errorf("resource %q, want %q", failure.Resource(), e.Resource)
	}
	if after, ok := failure.RetryAfter(); e.RetryAfter && (!ok || after <= 0) {
		t.Errorf("retry after %v, %v", after, ok)
	}
	return false
}

// checkAnswer checks what a case expects of an answer.
func (e *expectation) checkAnswer(t *testing.T, a *answer) {
	t.Helper()
	if a.id == "" || a.model == "" || a.usage == nil || len(a.outputs) == 0 {
		t.Fatalf("incomplete: id %q, model %q, usage %v, outputs %v", a.id, a.model, a.usage, a.outputs)
	}
	var reasons, seeds []string
	var ids int
	var logprobs []*sluicev1.TokenLogprobs
	for _, o := range a.outputs {
		reasons = append(reasons, o.GetFinishReason().String())
		seeds = append(seeds, strconv.FormatUint(o.GetSeed(), 10))
		ids += len(o.GetTokenIds())
		logprobs = append(logprobs, o.GetLogprobs()...)
	}
	e.checkText(t, a.outputs[0].GetText())
	if e.ToolCalls != nil {
		e.checkCalls(t, a.outputs[0].GetToolCalls())
	}
	prompt, completion := a.usage.GetPromptTokens(), a.usage.GetCompletionTokens()
	for what, bad := range map[string]bool{
		"id":               e.ID != "" && a.id != e.ID,
		"finishReasons":    e.FinishReasons != nil && !slices.Equal(reasons, e.FinishReasons),
		"stopSequence":     e.StopSequence != "" && a.outputs[0].GetStopSequence() != e.StopSequence,
		"seeds":            e.Seeds != nil && !slices.Equal(seeds, e.Seeds),
		"promptTokens":     e.PromptTokens > 0 && prompt != e.PromptTokens,
		"completionTokens": e.CompletionTokens > 0 && completion != e.CompletionTokens,
		"minDeltas":        a.deltas >= 0 && a.deltas < e.MinDeltas,
		"tokenIds":         e.TokenIDs && ids != int(completion),
		"logprobs":         e.Logprobs != nil && len(logprobs) != int(completion),
		"promptLogprobs":   e.PromptLogprobs && len(a.promptLogprobs) != int(prompt),
	} {
		if bad {
			t.Errorf("%s: got outputs %v, usage %v, %d deltas", what, a.outputs, a.usage, a.deltas)
		}
	}
	if e.Logprobs != nil {
		checkLogprobs(t, logprobs, *e.Logprobs)
	}
}

func (e *expectation) checkText(t *testing.T, text string) {
	t.Helper()
	if e.Text != nil && text != *e.Text {
		t.Errorf("text %q, want %q", text, *e.Text)
	}
	if !strings.HasPrefix(text, e.TextPrefix) {
		t.Errorf("text %q does not begin with %q", text, e.TextPrefix)
	}
	if e.TextIn != nil && !slices.Contains(e.TextIn, text) {
		t.Errorf("text %q is none of %q", text, e.TextIn)
	}
	if e.JSONKeys == nil {
		return
	}
	object := map[string]any{}
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Errorf("text %q: %v", text, err)
	}
	keys := slices.Sorted(maps.Keys(object))
	if !slices.Equal(keys, slices.Sorted(slices.Values(e.JSONKeys))) {
		t.Errorf("keys %q, want %q", keys, e.JSONKeys)
	}
}

func (e *expectation) checkCalls(t *testing.T, calls []*sluicev1.ToolCall) {
	t.Helper()
	if len(calls) != len(e.ToolCalls) {
		t.Fatalf("calls %v, want %v", calls, e.ToolCalls)
	}
	for i, call := range calls {
		arguments := map[string]any{}
		if err := json.Unmarshal([]byte(call.GetArguments()), &arguments); err != nil {
			t.Errorf("arguments %q: %v", call.GetArguments(), err)
		}
		want := e.ToolCalls[i]
		if call.GetId() == "" || call.GetName() != want.Name || !cmp.Equal(arguments, want.Arguments) {
			t.Errorf("call %v, want %v", call, want)
		}
	}
}

// checkLogprobs checks entries with so many of the likeliest tokens each.
func checkLogprobs(t *testing.T, entries []*sluicev1.TokenLogprobs, top int) {
	t.Helper()
	for i, entry := range entries {
		if c := entry.GetChosen(); c.GetLogprob() > 0 || c.GetRank() < 1 || len(entry.GetTop()) != top {
			t.Errorf("log-probabilities of token %d: %v", i, entry)
		}
		for j, likely := range entry.GetTop() {
			if likely.GetRank() != uint32(j)+1 { //nolint:gosec // at most 20
				t.Errorf("rank of %v, want %d", likely, j+1)
			}
		}
	}
}

// checkSame checks that a stream has told what the unary call told.
func checkSame(t *testing.T, whole, streamed *answer) {
	t.Helper()
	// Seeds that the request does not name and ids of calls are drawn anew, and the first request leaves the prompt in the cache.
	if diff := cmp.Diff(whole.outputs, streamed.outputs, protocmp.Transform(),
		protocmp.IgnoreFields(&sluicev1.Output{}, "seed"), protocmp.IgnoreFields(&sluicev1.ToolCall{}, "id")); diff != "" {
		t.Errorf("outputs, unary and streamed: %s", diff)
	}
	if diff := cmp.Diff(whole.promptLogprobs, streamed.promptLogprobs, protocmp.Transform()); diff != "" {
		t.Errorf("log-probabilities of the prompt, unary and streamed: %s", diff)
	}
	usage := proto.CloneOf(streamed.usage)
	usage.CachedTokens = whole.usage.GetCachedTokens()
	if !proto.Equal(usage, whole.usage) {
		t.Errorf("usage: unary %v, streamed %v", whole.usage, streamed.usage)
	}
}

func (e *expectation) checkScores(t *testing.T, scores []*sluicev1.ContinuationScore) {
	t.Helper()
	var tokens []uint32
	best := 0
	for i, s := range scores {
		tokens = append(tokens, s.GetTokens())
		if s.GetLogLikelihood() > scores[best].GetLogLikelihood() {
			best = i
		}
		if e.Logprobs != nil {
			if len(s.GetLogprobs()) != int(s.GetTokens()) {
				t.Errorf("%d log-probabilities of %d tokens", len(s.GetLogprobs()), s.GetTokens())
			}
			checkLogprobs(t, s.GetLogprobs(), *e.Logprobs)
		}
	}
	if best != e.Best || !slices.Equal(tokens, e.Tokens) {
		t.Errorf("scores %v, want %d as the best and the tokens %d", scores, e.Best, e.Tokens)
	}
}

func (e *expectation) checkExplanation(t *testing.T, res *sluicev1.ExplainResponse) {
	t.Helper()
	var segments [][2]uint32
	for _, a := range res.GetAttributions() {
		segments = append(segments, [2]uint32{a.GetStart(), a.GetEnd()})
	}
	if !slices.Equal(segments, e.Segments) || res.GetAnswerTokens() != e.AnswerTokens || res.GetLogLikelihood() >= 0 {
		t.Errorf("explanation %v", res)
	}
}

// checkVectors checks that the vectors have their sizes and the length 1.
func (e *expectation) checkVectors(t *testing.T, embeddings []*sluicev1.Embedding) {
	t.Helper()
	var sizes []int
	for i, embedding := range embeddings {
		sizes = append(sizes, len(embedding.GetValues()))
		squares := 0.0
		for _, v := range embedding.GetValues() {
			squares += float64(v) * float64(v)
		}
		if math.Abs(squares-1) > 1e-4 {
			t.Errorf("vector %d has the length %v", i, math.Sqrt(squares))
		}
	}
	if !slices.Equal(sizes, e.VectorSizes) {
		t.Errorf("vectors of %d values, want %d", sizes, e.VectorSizes)
	}
}

func (e *expectation) checkTokens(t *testing.T, tokens []*sluicev1.Token) {
	t.Helper()
	var ids []uint32
	for _, token := range tokens {
		ids = append(ids, token.GetId())
	}
	if !slices.Equal(ids, e.IDs) {
		t.Errorf("ids %d, want %d", ids, e.IDs)
	}
}

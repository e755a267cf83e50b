package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"unicode/utf8"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// completionTokens is max_tokens of a completion that does not say, as OpenAI's API has it.
const completionTokens = 16

// maxPrompts bounds the prompts of one request. Each is a request of its own to the queue and to quotas.
const maxPrompts = 128

// completionRequest is the body of POST /v1/completions.
type completionRequest struct {
	samplingFields

	Prompt   promptList      `json:"prompt"`
	Logprobs *uint32         `json:"logprobs"`
	Echo     bool            `json:"echo"`
	BestOf   *uint32         `json:"best_of"`
	Suffix   *string         `json:"suffix"`
	Format   *responseFormat `json:"response_format"`
	Imposed  *constraint     `json:"structured_outputs"`
}

// promptList is a text, token ids, or some of either.
type promptList struct {
	texts  []string
	tokens [][]uint32
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *promptList) UnmarshalJSON(text []byte) error {
	var one string
	var ids []uint32
	switch {
	case json.Unmarshal(text, &one) == nil:
		l.texts = []string{one}
	case json.Unmarshal(text, &ids) == nil:
		l.tokens = [][]uint32{ids}
	case json.Unmarshal(text, &l.texts) == nil:
	case json.Unmarshal(text, &l.tokens) == nil:
		l.texts = nil
	default:
		return invalid("prompt", "must be a string, an array of strings, an array of token ids or an array of such arrays")
	}
	return nil
}

// requests are the native requests, one a prompt.
func (in *completionRequest) requests() ([]*sluicev1.GenerateRequest, *problem) {
	number := len(in.Prompt.texts) + len(in.Prompt.tokens)
	switch {
	case number == 0:
		return nil, invalid("prompt", "must not be empty")
	case number > maxPrompts:
		return nil, invalid("prompt", "must have at most %d entries", maxPrompts)
	case in.Suffix != nil && *in.Suffix != "":
		return nil, invalid("suffix", "is not supported")
	case in.BestOf != nil && *in.BestOf != max(1, derefOr(in.N, 1)):
		return nil, invalid("best_of", "is not supported, but as the value of n")
	}
	if in.MaxTokens == nil {
		in.MaxTokens = new(uint32(completionTokens))
	}
	base, p := in.request()
	if p != nil {
		return nil, p
	}
	base.Output.Echo, base.Output.Logprobs = in.Echo, in.Logprobs
	if in.Echo {
		base.Output.PromptLogprobs = in.Logprobs
	}
	if base.Constraint, p = joinConstraint(in.Format, in.Imposed); p != nil {
		return nil, p
	}
	// What the requests share they do not change.
	with := func() *sluicev1.GenerateRequest {
		return &sluicev1.GenerateRequest{
			Model: base.GetModel(), Sampling: base.GetSampling(), Stop: base.GetStop(), Output: base.GetOutput(), Priority: base.GetPriority(),
			Constraint: base.GetConstraint(),
		}
	}
	var out []*sluicev1.GenerateRequest
	for _, text := range in.Prompt.texts {
		r := with()
		r.Input = &sluicev1.GenerateRequest_Prompt{Prompt: text}
		out = append(out, r)
	}
	for _, ids := range in.Prompt.tokens {
		r := with()
		r.Input = &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: ids}}
		out = append(out, r)
	}
	return out, nil
}

// completion is an answer, or a chunk of one.
type completion struct {
	ID      string             `json:"id"`
	Object  string             `json:"object"`
	Created int64              `json:"created"`
	Model   string             `json:"model"`
	Choices []completionChoice `json:"choices"`
	Usage   *usage             `json:"usage,omitempty"`
}

type completionChoice struct {
	Index        int             `json:"index"`
	Text         string          `json:"text"`
	Logprobs     *legacyLogprobs `json:"logprobs"`
	FinishReason *string         `json:"finish_reason"`
}

func (g *Gateway) completions(w http.ResponseWriter, r *http.Request) {
	var in completionRequest
	if p := decode(r, &in); p != nil {
		fail(w, p)
		return
	}
	requests, p := in.requests()
	if p != nil {
		fail(w, p)
		return
	}
	id := requestID(r)
	for i, request := range requests {
		request.RequestId = partID(id, i, len(requests))
	}
	out := &completion{ID: id, Object: "text_completion", Created: g.now().Unix(), Choices: []completionChoice{}}
	if in.Stream {
		g.streamCompletions(g.call(r.Context(), r), w, &in, requests, out)
		return
	}
	answers, err := g.generateAll(g.call(r.Context(), r), requests)
	if err != nil {
		fail(w, translate(err, completionNames))
		return
	}
	out.Model, out.Usage = answers[0].GetModel(), &usage{}
	for _, answer := range answers {
		out.Usage.add(answer.GetUsage())
		for _, output := range answer.GetOutputs() {
			choice := completionChoice{
				Index: len(out.Choices), Text: output.GetText(), FinishReason: new(finishReason(output.GetFinishReason())),
			}
			if in.Logprobs != nil {
				var offset int
				choice.Logprobs = legacy(slices.Concat(answer.GetPromptLogprobs(), output.GetLogprobs()), &offset)
			}
			out.Choices = append(out.Choices, choice)
		}
	}
	write(w, http.StatusOK, out)
}

// completionNames are the fields of completions, by their native names.
var completionNames = withNames(map[string]string{ //nolint:gochecknoglobals // a table
	"output.logprobs": "logprobs", "output.prompt_logprobs": "logprobs", "output.echo": "echo",
})

// completionStream is what is kept of each prompt whose answer is being streamed.
type completionStream struct {
	prompted []*sluicev1.TokenLogprobs
	offsets  map[uint32]*int // of the next token in the text of each output
}

func (g *Gateway) streamCompletions(
	ctx context.Context, w http.ResponseWriter, in *completionRequest, requests []*sluicev1.GenerateRequest, chunk *completion,
) {
	all, err := g.streamAll(ctx, requests)
	if err != nil {
		fail(w, translate(err, completionNames))
		return
	}
	chunk.Model = all.model
	sse := newEvents(w)
	used := &usage{}
	states := make([]completionStream, len(requests))
	n := int(max(1, derefOr(in.N, 1)))
	send := func(choice completionChoice) {
		chunk.Choices = []completionChoice{choice}
		_ = sse.send("", chunk) // a client that has gone ends the call's context
	}
	for e := range all.events {
		state := &states[e.request]
		switch event := e.event.GetEvent().(type) {
		case *sluicev1.GenerateStreamResponse_Prompt:
			state.prompted = append(state.prompted, event.Prompt.GetLogprobs()...)
		case *sluicev1.GenerateStreamResponse_Delta:
			choice := completionChoice{Index: e.request*n + int(event.Delta.GetIndex()), Text: event.Delta.GetText()}
			if in.Logprobs != nil {
				choice.Logprobs = state.logprobs(event.Delta)
			}
			send(choice)
		case *sluicev1.GenerateStreamResponse_Finished:
			send(completionChoice{
				Index:        e.request*n + int(event.Finished.GetIndex()),
				FinishReason: new(finishReason(event.Finished.GetFinishReason())),
			})
		case *sluicev1.GenerateStreamResponse_Summary:
			used.add(event.Summary.GetUsage())
		}
	}
	if err := all.wait(); err != nil {
		_ = sse.send("", translate(err, completionNames).body()) // as above
		return
	}
	if in.wantsUsage() {
		chunk.Choices, chunk.Usage = []completionChoice{}, used
		_ = sse.send("", chunk)
	}
	sse.done()
}

// logprobs are those of a delta, after the prompt's if it is the first of its output.
func (s *completionStream) logprobs(delta *sluicev1.Delta) *legacyLogprobs {
	tokens := delta.GetLogprobs()
	if s.offsets == nil {
		s.offsets = map[uint32]*int{}
	}
	if s.offsets[delta.GetIndex()] == nil {
		s.offsets[delta.GetIndex()] = new(int)
		tokens = slices.Concat(s.prompted, tokens)
	}
	return legacy(tokens, s.offsets[delta.GetIndex()])
}

// legacyLogprobs are log-probabilities as completions have them: lists side by side.
type legacyLogprobs struct {
	Tokens        []string             `json:"tokens"`
	TokenLogprobs []*float32           `json:"token_logprobs"`
	TopLogprobs   []map[string]float32 `json:"top_logprobs"`
	TextOffset    []int                `json:"text_offset"`
}

// legacy converts log-probabilities; offset is where the next token begins in the text, in characters.
func legacy(tokens []*sluicev1.TokenLogprobs, offset *int) *legacyLogprobs {
	out := &legacyLogprobs{
		Tokens: []string{}, TokenLogprobs: []*float32{}, TopLogprobs: []map[string]float32{}, TextOffset: []int{},
	}
	for _, token := range tokens {
		text := tokenText(token.GetChosen())
		out.Tokens = append(out.Tokens, text)
		out.TextOffset = append(out.TextOffset, *offset)
		*offset += len([]rune(text))
		if token.GetChosen().GetRank() == 0 { // a prompt's first
			out.TokenLogprobs = append(out.TokenLogprobs, nil)
			out.TopLogprobs = append(out.TopLogprobs, nil)
			continue
		}
		out.TokenLogprobs = append(out.TokenLogprobs, new(token.GetChosen().GetLogprob()))
		top := map[string]float32{}
		for _, other := range token.GetTop() {
			top[tokenText(other)] = other.GetLogprob()
		}
		out.TopLogprobs = append(out.TopLogprobs, top)
	}
	return out
}

// tokenText is a token as text; bytes that are no whole character are written as OpenAI's API does.
func tokenText(token *sluicev1.TokenLogprob) string {
	if raw := token.GetToken(); !utf8.Valid(raw) {
		return "bytes:" + escaped(raw)
	}
	return string(token.GetToken())
}

// escaped writes bytes as \xNN.
func escaped(raw []byte) string {
	var out []byte
	for _, b := range raw {
		out = fmt.Appendf(out, `\x%02x`, b)
	}
	return string(out)
}

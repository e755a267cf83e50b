package gateway

import (
	"context"
	"net/http"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// chatCompletion is an answer, or a chunk of one.
type chatCompletion struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Choices []chatChoice `json:"choices"`
	Usage   *usage       `json:"usage,omitempty"`
}

type chatChoice struct {
	Index        uint32          `json:"index"`
	Message      *chatText       `json:"message,omitempty"` // of an answer
	Delta        *chatText       `json:"delta,omitempty"`   // of a chunk
	Logprobs     *chatLogprobSet `json:"logprobs"`
	FinishReason *string         `json:"finish_reason"`
}

// chatText is a message or a piece of one. Reasoning has the name that vLLM and others give it.
type chatText struct {
	Role      string         `json:"role,omitempty"`
	Content   *string        `json:"content,omitempty"`
	Reasoning string         `json:"reasoning_content,omitempty"`
	ToolCalls []answeredCall `json:"tool_calls,omitempty"`
}

// answeredCall is a call of a tool or a piece of one, which has an index; what a later piece of a call leaves out was told.
type answeredCall struct {
	Index    *uint32          `json:"index,omitempty"`
	ID       string           `json:"id,omitempty"`
	Type     string           `json:"type,omitempty"`
	Function answeredFunction `json:"function"`
}

type answeredFunction struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

// wholeMessage is the message of an output.
func wholeMessage(output *sluicev1.Output) *chatText {
	out := &chatText{Role: "assistant", Content: new(output.GetText()), Reasoning: output.GetReasoning()}
	for _, call := range output.GetToolCalls() {
		out.ToolCalls = append(out.ToolCalls, answeredCall{
			ID: call.GetId(), Type: "function",
			Function: answeredFunction{Name: call.GetName(), Arguments: call.GetArguments()},
		})
	}
	return out
}

// chatStream is what is kept of an output that is being streamed: a call that may still turn out to be none. OpenAI's API
// has no way to take a call back, so that it is sent whole.
type chatStream struct{ call *answeredCall }

// piece is the piece of the message that a delta has; nil: none yet.
func (c *chatStream) piece(delta *sluicev1.Delta) *chatText {
	out := &chatText{Reasoning: delta.GetReasoning()}
	for _, call := range delta.GetToolCalls() {
		switch {
		case call.GetRetracted():
			c.call = nil
		case c.call == nil || *c.call.Index != call.GetIndex():
			out.ToolCalls = append(out.ToolCalls, c.take()...)
			c.call = &answeredCall{
				Index: new(call.GetIndex()), ID: call.GetId(), Type: "function",
				Function: answeredFunction{Name: call.GetName(), Arguments: call.GetArguments()},
			}
		default:
			c.call.Function.Arguments += call.GetArguments()
		}
	}
	if delta.GetText() != "" || len(delta.GetLogprobs()) > 0 {
		out.Content = new(delta.GetText())
	}
	if out.Content == nil && out.Reasoning == "" && len(out.ToolCalls) == 0 {
		return nil
	}
	return out
}

// take is the call that is whole now that the next one or the end has come.
func (c *chatStream) take() []answeredCall {
	if c.call == nil {
		return nil
	}
	call := *c.call
	c.call = nil
	return []answeredCall{call}
}

type chatLogprobSet struct {
	Content []chatLogprob `json:"content"`
}

type chatLogprob struct {
	Token   string        `json:"token"`
	Logprob float32       `json:"logprob"`
	Bytes   []int         `json:"bytes"`
	Top     []chatLogprob `json:"top_logprobs,omitempty"`
}

func chatLogprobs(tokens []*sluicev1.TokenLogprobs) *chatLogprobSet {
	out := &chatLogprobSet{Content: []chatLogprob{}}
	for _, token := range tokens {
		entry := oneLogprob(token.GetChosen())
		for _, other := range token.GetTop() {
			entry.Top = append(entry.Top, oneLogprob(other))
		}
		out.Content = append(out.Content, entry)
	}
	return out
}

func oneLogprob(token *sluicev1.TokenLogprob) chatLogprob {
	raw := token.GetToken()
	out := chatLogprob{Token: tokenText(token), Logprob: token.GetLogprob(), Bytes: make([]int, len(raw))}
	for i, b := range raw {
		out.Bytes[i] = int(b)
	}
	return out
}

func (g *Gateway) streamChat(ctx context.Context, w http.ResponseWriter, in *chatRequest, request *sluicev1.GenerateRequest) {
	all, err := g.streamAll(ctx, []*sluicev1.GenerateRequest{request})
	if err != nil {
		fail(w, translate(err, chatNames))
		return
	}
	chunk := &chatCompletion{ID: request.GetRequestId(), Object: "chat.completion.chunk", Created: g.now().Unix(), Model: all.model}
	sse := newEvents(w)
	send := func(choice chatChoice) {
		chunk.Choices = []chatChoice{choice}
		_ = sse.send("", chunk) // a client that has gone ends the call's context
	}
	for index := range max(1, derefOr(in.N, 1)) {
		send(chatChoice{Index: index, Delta: &chatText{Role: "assistant", Content: new("")}})
	}
	var used *sluicev1.Usage
	outputs := make([]chatStream, max(1, derefOr(in.N, 1)))
	for e := range all.events {
		switch event := e.event.GetEvent().(type) {
		case *sluicev1.GenerateStreamResponse_Delta:
			piece := outputs[event.Delta.GetIndex()].piece(event.Delta)
			if piece == nil {
				continue
			}
			choice := chatChoice{Index: event.Delta.GetIndex(), Delta: piece}
			if in.Logprobs {
				choice.Logprobs = chatLogprobs(event.Delta.GetLogprobs())
			}
			send(choice)
		case *sluicev1.GenerateStreamResponse_Finished:
			if calls := outputs[event.Finished.GetIndex()].take(); len(calls) > 0 {
				send(chatChoice{Index: event.Finished.GetIndex(), Delta: &chatText{ToolCalls: calls}})
			}
			send(chatChoice{
				Index: event.Finished.GetIndex(), Delta: &chatText{},
				FinishReason: new(finishReason(event.Finished.GetFinishReason())),
			})
		case *sluicev1.GenerateStreamResponse_Summary:
			used = event.Summary.GetUsage()
		}
	}
	if err := all.wait(); err != nil {
		_ = sse.send("", translate(err, chatNames).body()) // as above
		return
	}
	if in.wantsUsage() {
		chunk.Choices, chunk.Usage = []chatChoice{}, &usage{}
		chunk.Usage.add(used)
		_ = sse.send("", chunk)
	}
	sse.done()
}

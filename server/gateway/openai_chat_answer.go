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

// chatText is a message or a piece of one.
type chatText struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
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
	chunk := &chatCompletion{ID: all.id, Object: "chat.completion.chunk", Created: g.now().Unix(), Model: all.model}
	sse := newEvents(w)
	send := func(choice chatChoice) {
		chunk.Choices = []chatChoice{choice}
		_ = sse.send("", chunk) // a client that has gone ends the call's context
	}
	for index := range max(1, derefOr(in.N, 1)) {
		send(chatChoice{Index: index, Delta: &chatText{Role: "assistant", Content: new("")}})
	}
	var used *sluicev1.Usage
	for e := range all.events {
		switch event := e.event.GetEvent().(type) {
		case *sluicev1.GenerateStreamResponse_Delta:
			choice := chatChoice{Index: event.Delta.GetIndex(), Delta: &chatText{Content: new(event.Delta.GetText())}}
			if in.Logprobs {
				choice.Logprobs = chatLogprobs(event.Delta.GetLogprobs())
			}
			send(choice)
		case *sluicev1.GenerateStreamResponse_Finished:
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

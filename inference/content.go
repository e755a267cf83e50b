package inference

import (
	"encoding/json"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/semconv"
)

// content keeps the texts of a sampled request for its span, in the form of the GenAI conventions. There is one only
// where the operator has asked for it (Config.RecordContent); a nil content keeps nothing.
type content struct {
	outputs []contentOutput
}

// contentOutput is one output so far.
type contentOutput struct {
	reasoning, text strings.Builder
	calls           []answer.Call
}

// contentMessage is a message as the conventions write it, in JSON.
type contentMessage struct {
	Role         string        `json:"role"`
	Parts        []contentPart `json:"parts"`
	FinishReason string        `json:"finish_reason,omitempty"` // of outputs
}

type contentPart struct {
	Type      string          `json:"type"`
	Content   string          `json:"content,omitempty"` // of text and reasoning
	ID        string          `json:"id,omitempty"`      // of a tool's call, as the rest
	Name      string          `json:"name,omitempty"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
}

func textMessage(role, text string) contentMessage {
	return contentMessage{Role: role, Parts: []contentPart{{Type: "text", Content: text}}}
}

// keepContent puts a request's input into its span and returns what its outputs are kept in.
func (m *Model) keepContent(span trace.Span, request *Request) *content {
	if !m.config.RecordContent || !span.IsRecording() {
		return nil
	}
	var messages []contentMessage
	switch input := request.Input.(type) {
	case Prompt:
		messages = []contentMessage{textMessage("user", input.Text)}
	case Tokens:
		messages = []contentMessage{textMessage("user", m.config.Tokenizer.Decode(input, false))}
	case Chat:
		for _, message := range input.Messages {
			kept := contentMessage{Role: message.Role}
			if message.Reasoning != "" {
				kept.Parts = append(kept.Parts, contentPart{Type: "reasoning", Content: message.Reasoning})
			}
			if message.Content != "" || len(message.ToolCalls) == 0 {
				kept.Parts = append(kept.Parts, contentPart{Type: "text", Content: message.Content})
			}
			for _, call := range message.ToolCalls {
				kept.Parts = append(kept.Parts, callPart(call.ID, call.Name, call.Arguments))
			}
			messages = append(messages, kept)
		}
	}
	if document, err := json.Marshal(messages); err == nil { // strings only: it cannot fail
		span.SetAttributes(semconv.GenAIInputMessages.String(string(document)))
	}
	return &content{outputs: make([]contentOutput, max(1, request.Sampling.N))}
}

// add keeps new text of an output.
func (c *content) add(update Update) {
	if c == nil {
		return
	}
	output := &c.outputs[update.Index]
	_, _ = output.reasoning.WriteString(update.Reasoning) // never fails
	_, _ = output.text.WriteString(update.Text)           // as above
	output.calls = answer.Join(output.calls, update.Calls)
}

// parts are those of an output.
func (o *contentOutput) parts() []contentPart {
	var parts []contentPart
	if o.reasoning.Len() > 0 {
		parts = append(parts, contentPart{Type: "reasoning", Content: o.reasoning.String()})
	}
	if o.text.Len() > 0 || len(o.calls) == 0 {
		parts = append(parts, contentPart{Type: "text", Content: o.text.String()})
	}
	for _, call := range o.calls {
		parts = append(parts, callPart(call.ID, call.Name, call.Arguments))
	}
	return parts
}

// callPart is a call of a tool. Arguments that are cut are left out.
func callPart(id, name, arguments string) contentPart {
	part := contentPart{Type: "tool_call", ID: id, Name: name}
	if json.Valid([]byte(arguments)) {
		part.Arguments = json.RawMessage(arguments)
	}
	return part
}

// end puts the outputs into the span: whatever was given to the reader.
func (c *content) end(span trace.Span, reasons []FinishReason) {
	if c == nil {
		return
	}
	messages := make([]contentMessage, len(c.outputs))
	for i := range c.outputs {
		messages[i] = contentMessage{Role: "assistant", Parts: c.outputs[i].parts()}
		if i < len(reasons) && reasons[i] != 0 {
			messages[i].FinishReason = reasons[i].String()
		}
	}
	if document, err := json.Marshal(messages); err == nil { // as above
		span.SetAttributes(semconv.GenAIOutputMessages.String(string(document)))
	}
}

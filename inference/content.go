package inference

import (
	"encoding/json"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceml/sluice/inference/semconv"
)

// content keeps the texts of a sampled request for its span, in the form of the GenAI conventions. There is one only
// where the operator has asked for it (Config.RecordContent); a nil content keeps nothing.
type content struct {
	outputs []strings.Builder
}

// contentMessage is a message as the conventions write it, in JSON.
type contentMessage struct {
	Role         string        `json:"role"`
	Parts        []contentPart `json:"parts"`
	FinishReason string        `json:"finish_reason,omitempty"` // of outputs
}

type contentPart struct {
	Type    string `json:"type"`
	Content string `json:"content"`
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
			messages = append(messages, textMessage(message.Role, message.Content))
		}
	}
	if document, err := json.Marshal(messages); err == nil { // strings only: it cannot fail
		span.SetAttributes(semconv.GenAIInputMessages.String(string(document)))
	}
	return &content{outputs: make([]strings.Builder, max(1, request.Sampling.N))}
}

// add keeps new text of an output.
func (c *content) add(update Update) {
	if c != nil {
		_, _ = c.outputs[update.Index].WriteString(update.Text) // never fails
	}
}

// end puts the outputs into the span: whatever was given to the reader.
func (c *content) end(span trace.Span, reasons []FinishReason) {
	if c == nil {
		return
	}
	messages := make([]contentMessage, len(c.outputs))
	for i := range c.outputs {
		messages[i] = textMessage("assistant", c.outputs[i].String())
		if i < len(reasons) && reasons[i] != 0 {
			messages[i].FinishReason = reasons[i].String()
		}
	}
	if document, err := json.Marshal(messages); err == nil { // as above
		span.SetAttributes(semconv.GenAIOutputMessages.String(string(document)))
	}
}

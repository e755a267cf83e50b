package chat

import "github.com/ardanlabs/jinja"

// Message is one turn of a conversation. What is empty is not there for the template, except the content.
type Message struct {
	Role    string
	Content string
	// Reasoning is what an assistant thought before it said Content. Templates know it as reasoning_content or thinking.
	Reasoning string
	// Name of the speaker.
	Name string
	// ToolCalls are what an assistant called. With them an empty Content is none, as OpenAI's clients send it.
	ToolCalls []ToolCall
	// ToolCallID is the call that a tool's turn answers.
	ToolCallID string
}

// ToolCall is a call that an assistant made.
type ToolCall struct {
	ID        string // "": the template sees none
	Name      string
	Arguments any // as a value of Input.Args; an object that templates print in the order of its keys
}

// Tool is a function that a model may call, in the form that transformers passes to templates.
type Tool struct {
	Name        string
	Description string
	Parameters  any // a JSON Schema, as a value of Input.Args; nil: none
}

// value is the message as templates see it.
func (m Message) value() jinja.Value {
	v := jinja.NewDict()
	dict := v.AsDict()
	if m.Reasoning != "" {
		dict.Set("thinking", text8(m.Reasoning))
	}
	dict.Set("role", text8(m.Role))
	if m.Content == "" && len(m.ToolCalls) > 0 {
		dict.Set("content", jinja.None())
	} else {
		dict.Set("content", text8(m.Content))
	}
	if m.Reasoning != "" {
		dict.Set("reasoning_content", text8(m.Reasoning))
	}
	if m.Name != "" {
		dict.Set("name", text8(m.Name))
	}
	if len(m.ToolCalls) > 0 {
		calls := make([]jinja.Value, len(m.ToolCalls))
		for i, call := range m.ToolCalls {
			calls[i] = call.value()
		}
		dict.Set("tool_calls", jinja.NewList(calls))
	}
	if m.ToolCallID != "" {
		dict.Set("tool_call_id", text8(m.ToolCallID))
	}
	return v
}

func (c ToolCall) value() jinja.Value {
	function := jinja.NewDict()
	function.AsDict().Set("name", text8(c.Name))
	function.AsDict().Set("arguments", toValue(c.Arguments))
	v := jinja.NewDict()
	if c.ID != "" {
		v.AsDict().Set("id", text8(c.ID))
	}
	v.AsDict().Set("type", jinja.NewString("function"))
	v.AsDict().Set("function", function)
	return v
}

func (t Tool) value() jinja.Value {
	function := jinja.NewDict()
	function.AsDict().Set("name", text8(t.Name))
	function.AsDict().Set("description", text8(t.Description))
	if t.Parameters != nil {
		function.AsDict().Set("parameters", toValue(t.Parameters))
	}
	v := jinja.NewDict()
	v.AsDict().Set("type", jinja.NewString("function"))
	v.AsDict().Set("function", function)
	return v
}

package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// chatRequest is the body of POST /v1/chat/completions.
type chatRequest struct {
	samplingFields

	Messages            []chatMessage   `json:"messages"`
	MaxCompletionTokens *uint32         `json:"max_completion_tokens"`
	Logprobs            bool            `json:"logprobs"`
	TopLogprobs         *uint32         `json:"top_logprobs"`
	Tools               []chatTool      `json:"tools"`
	ToolChoice          *toolChoice     `json:"tool_choice"`
	ParallelToolCalls   *bool           `json:"parallel_tool_calls"`
	Format              *responseFormat `json:"response_format"`
	Imposed             *constraint     `json:"structured_outputs"`

	TemplateArgs         json.RawMessage `json:"chat_template_kwargs"`
	AddGenerationPrompt  *bool           `json:"add_generation_prompt"`
	ContinueFinalMessage bool            `json:"continue_final_message"`
}

type chatMessage struct {
	Role       string         `json:"role"`
	Content    chatContent    `json:"content"`
	Name       string         `json:"name"`
	ToolCalls  []chatToolCall `json:"tool_calls"`
	ToolCallID string         `json:"tool_call_id"`
	Reasoning  string         `json:"reasoning_content"`

	// An answer of OpenAI's API that is sent back has these, empty.
	Refusal      *string         `json:"refusal"`
	Annotations  json.RawMessage `json:"annotations"`
	Audio        *struct{}       `json:"audio"`
	FunctionCall *struct{}       `json:"function_call"`
}

// chatContent is a text, or parts of one.
type chatContent string

// UnmarshalJSON implements json.Unmarshaler.
func (c *chatContent) UnmarshalJSON(text []byte) error {
	var one *string
	if json.Unmarshal(text, &one) == nil {
		*c = chatContent(derefOr(one, ""))
		return nil
	}
	var parts []struct {
		Type string  `json:"type"`
		Text *string `json:"text"`
	}
	if json.Unmarshal(text, &parts) != nil {
		return invalid("messages", "must have contents that are strings or arrays of parts")
	}
	var joined strings.Builder
	for _, part := range parts {
		if part.Type != "text" || part.Text == nil {
			return invalid("messages", "must have contents of the type text only")
		}
		joined.WriteString(*part.Text)
	}
	*c = chatContent(joined.String())
	return nil
}

type chatTool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
		Strict      *bool           `json:"strict"`
	} `json:"function"`
}

type chatToolCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// toolChoice is a mode, or the name of a function.
type toolChoice struct{ mode, name string }

// UnmarshalJSON implements json.Unmarshaler.
func (c *toolChoice) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &c.mode) == nil {
		return nil
	}
	var named struct {
		Type     string `json:"type"`
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	if json.Unmarshal(text, &named) != nil || named.Type != "function" || named.Function.Name == "" {
		return invalid("tool_choice", "must be none, auto, required or a function's name")
	}
	c.name = named.Function.Name
	return nil
}

func (c *toolChoice) native() (*sluicev1.ToolChoice, *problem) {
	if c == nil {
		return nil, nil //nolint:nilnil // none
	}
	if c.name != "" {
		return &sluicev1.ToolChoice{Choice: &sluicev1.ToolChoice_Name{Name: c.name}}, nil
	}
	modes := map[string]sluicev1.ToolChoiceMode{
		"none":     sluicev1.ToolChoiceMode_TOOL_CHOICE_MODE_NONE,
		"auto":     sluicev1.ToolChoiceMode_TOOL_CHOICE_MODE_AUTO,
		"required": sluicev1.ToolChoiceMode_TOOL_CHOICE_MODE_REQUIRED,
	}
	mode, ok := modes[c.mode]
	if !ok {
		return nil, invalid("tool_choice", "must be none, auto, required or a function's name")
	}
	return &sluicev1.ToolChoice{Choice: &sluicev1.ToolChoice_Mode{Mode: mode}}, nil
}

// native is the native request.
func (in *chatRequest) native() (*sluicev1.GenerateRequest, *problem) {
	if in.MaxCompletionTokens != nil {
		if in.MaxTokens != nil && *in.MaxTokens != *in.MaxCompletionTokens {
			return nil, invalid("max_tokens", "and max_completion_tokens are the same, and differ")
		}
		in.MaxTokens = in.MaxCompletionTokens
	}
	switch {
	case in.TopLogprobs != nil && !in.Logprobs:
		return nil, invalid("top_logprobs", "needs logprobs: true")
	case in.ParallelToolCalls != nil && !*in.ParallelToolCalls && len(in.Tools) > 0:
		return nil, invalid("parallel_tool_calls", "cannot be false")
	}
	out, p := in.request()
	if p != nil {
		return nil, p
	}
	if in.Logprobs {
		out.Output.Logprobs = new(derefOr(in.TopLogprobs, 0))
	}
	if out.Constraint, p = joinConstraint(in.Format, in.Imposed); p != nil {
		return nil, p
	}
	chat := &sluicev1.Chat{AddGenerationPrompt: in.AddGenerationPrompt, ContinueFinalMessage: in.ContinueFinalMessage}
	if chat.ToolChoice, p = in.ToolChoice.native(); p != nil {
		return nil, p
	}
	if text := string(in.TemplateArgs); text != "null" {
		chat.TemplateArgs = text
	}
	for i, message := range in.Messages {
		converted, p := message.native(i)
		if p != nil {
			return nil, p
		}
		chat.Messages = append(chat.Messages, converted)
	}
	for i, tool := range in.Tools {
		if tool.Type != "function" {
			return nil, invalid(fmt.Sprintf("tools[%d].type", i), "must be function")
		}
		f := tool.Function
		chat.Tools = append(chat.Tools, &sluicev1.Tool{Name: f.Name, Description: f.Description, Parameters: string(f.Parameters)})
	}
	out.Input = &sluicev1.GenerateRequest_Chat{Chat: chat}
	return out, nil
}

func (m chatMessage) native(index int) (*sluicev1.Message, *problem) {
	field := fmt.Sprintf("messages[%d]", index)
	switch {
	case m.Refusal != nil && *m.Refusal != "":
		return nil, invalid(field+".refusal", "is not supported")
	case m.Audio != nil:
		return nil, invalid(field+".audio", "is not supported")
	case m.FunctionCall != nil:
		return nil, invalid(field+".function_call", "is not supported: use tool_calls")
	}
	out := &sluicev1.Message{Role: m.Role, Content: string(m.Content), Name: m.Name, ToolCallId: m.ToolCallID, Reasoning: m.Reasoning}
	for i, call := range m.ToolCalls {
		if call.Type != "function" {
			return nil, invalid(fmt.Sprintf("%s.tool_calls[%d].type", field, i), "must be function")
		}
		out.ToolCalls = append(out.ToolCalls, &sluicev1.ToolCall{
			Id: call.ID, Name: call.Function.Name, Arguments: call.Function.Arguments,
		})
	}
	return out, nil
}

// chatNames are the fields of chat completions, by their native names.
var chatNames = withNames(map[string]string{"output.logprobs": "top_logprobs"}) //nolint:gochecknoglobals // a table

func (g *Gateway) chatCompletions(w http.ResponseWriter, r *http.Request) {
	var in chatRequest
	if p := decode(r, &in); p != nil {
		fail(w, p)
		return
	}
	request, p := in.native()
	if p != nil {
		fail(w, p)
		return
	}
	request.RequestId = requestID(r)
	if in.Stream {
		g.streamChat(g.call(r.Context(), r), w, &in, request)
		return
	}
	answer, err := g.inference.Generate(g.call(r.Context(), r), request)
	if err != nil {
		fail(w, translate(err, chatNames))
		return
	}
	out := chatCompletion{
		ID: answer.GetId(), Object: "chat.completion", Created: g.now().Unix(), Model: answer.GetModel(),
		Choices: []chatChoice{}, Usage: &usage{},
	}
	out.Usage.add(answer.GetUsage())
	for _, output := range answer.GetOutputs() {
		choice := chatChoice{
			Index:        output.GetIndex(),
			Message:      wholeMessage(output),
			FinishReason: new(finishReason(output.GetFinishReason())),
		}
		if in.Logprobs {
			choice.Logprobs = chatLogprobs(output.GetLogprobs())
		}
		out.Choices = append(out.Choices, choice)
	}
	write(w, http.StatusOK, out)
}

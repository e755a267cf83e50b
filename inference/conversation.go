package inference

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/chat"
	"github.com/sluiceml/sluice/tokenizer"
)

// The names of chat templates that mean something, as in transformers.
const (
	defaultTemplate = "default"
	toolTemplate    = "tool_use"
)

// templates are the names of the model's chat templates, the default one first.
func (m *Model) templates() []string {
	var names []string
	if m.config.Template != nil {
		names = append(names, defaultTemplate)
	}
	return append(names, slices.Sorted(maps.Keys(m.config.Templates))...)
}

// template is the one that renders a conversation.
func (m *Model) template(input Chat) (*chat.Template, error) {
	if m.config.Template == nil {
		return nil, Invalid("chat", "the model has no chat template")
	}
	name := input.Template
	if name == "" && len(input.Tools) > 0 && m.config.Templates[toolTemplate] != nil {
		name = toolTemplate
	}
	if name == "" || name == defaultTemplate {
		return m.config.Template, nil
	}
	if t := m.config.Templates[name]; t != nil {
		return t, nil
	}
	return nil, Invalid("chat.template", "the model has no such template; it has %s", strings.Join(m.templates(), ", "))
}

// renderChat writes a conversation in the model's template.
func (m *Model) renderChat(input Chat) (chat.Rendered, error) {
	template, err := m.template(input)
	if err != nil {
		return chat.Rendered{}, err
	}
	values, err := chatInput(input)
	if err != nil {
		return chat.Rendered{}, err
	}
	if len(values.Tools) > 0 && !strings.Contains(template.Source(), "tools") {
		return chat.Rendered{}, Invalid("chat.tools", "the model's chat template does not write tools")
	}
	values.BOSToken, values.EOSToken = m.config.BOSToken, m.config.EOSToken
	rendered, err := template.Render(values)
	if err != nil {
		return chat.Rendered{}, renderError(err)
	}
	return rendered, nil
}

// encodeChat writes a conversation and encodes it. The template adds the begin token itself, and the special tokens of its
// own text are recognised; those that the caller spells are not. Only one that will be truncated may be longer than the
// context.
func (m *Model) encodeChat(input Chat, truncated bool) (prompt, error) {
	rendered, err := m.renderChat(input)
	if err != nil {
		return prompt{}, err
	}
	options := tokenizer.EncodeOptions{Literal: literal(rendered)}
	if !truncated {
		if err := m.hopeless(field(input), rendered.Text, options); err != nil {
			return prompt{}, err
		}
	}
	ids, err := m.config.Tokenizer.Encode(rendered.Text, options)
	return prompt{ids: ids, reasons: opensReasoning(rendered, m.config.Reasoning)}, err
}

// literal are the parts of a rendered text that the caller wrote.
func literal(rendered chat.Rendered) []tokenizer.Range {
	ranges := make([]tokenizer.Range, len(rendered.Literal))
	for i, r := range rendered.Literal {
		ranges[i] = tokenizer.Range(r)
	}
	return ranges
}

// chatInput is a conversation as templates take it.
func chatInput(input Chat) (chat.Input, error) {
	values := chat.Input{
		Messages:             make([]chat.Message, len(input.Messages)),
		AddGenerationPrompt:  input.AddGenerationPrompt,
		ContinueFinalMessage: input.ContinueFinalMessage,
		Args:                 input.TemplateArgs,
	}
	for i, message := range input.Messages {
		to := &values.Messages[i]
		to.Role, to.Content, to.Reasoning, to.Name, to.ToolCallID =
			message.Role, message.Content, message.Reasoning, message.Name, message.ToolCallID
		for k, call := range message.ToolCalls {
			arguments, err := chat.FromJSON([]byte(call.Arguments))
			if err != nil {
				return chat.Input{}, Invalid(fmt.Sprintf("chat.messages[%d].tool_calls[%d].arguments", i, k), "must be the text of a JSON object")
			}
			to.ToolCalls = append(to.ToolCalls, chat.ToolCall{ID: call.ID, Name: call.Name, Arguments: arguments})
		}
	}
	if input.ToolChoice.Mode == ToolChoiceNone {
		return values, nil
	}
	for i, tool := range input.Tools {
		to := chat.Tool{Name: tool.Name, Description: tool.Description}
		if tool.Parameters != "" {
			parameters, err := chat.FromJSON([]byte(tool.Parameters))
			if err != nil {
				return chat.Input{}, Invalid(fmt.Sprintf("chat.tools[%d].parameters", i), "must be the text of a JSON object")
			}
			to.Parameters = parameters
		}
		values.Tools = append(values.Tools, to)
	}
	return values, nil
}

// renderError turns an error of a template into this package's.
func renderError(err error) error {
	var raised *chat.RaisedError
	var limit *chat.LimitError
	var bug *chat.PanicError
	switch {
	case errors.As(err, &bug):
		return fmt.Errorf("render the conversation: %w", bug)
	case errors.Is(err, chat.ErrNoFinalMessage):
		return Invalid("chat.continue_final_message", "the model's chat template does not write the content of the last message as it is")
	case errors.As(err, &raised):
		return quote("the model's chat template refuses them", raised.Message)
	case errors.As(err, &limit):
		return Invalid("chat.messages", "the model's chat template cannot render them: %v", limit)
	default:
		return quote("the model's chat template fails on them", err.Error())
	}
}

// quote is an InvalidError of the messages of a chat with words that a template may have put together from them.
func quote(description, words string) error {
	return &InvalidError{Violations: []Violation{{Field: "chat.messages", Description: description, Quote: words}}}
}

// opensReasoning says whether a prompt ends with the tag that opens a model's reasoning, written by its template and not
// by the caller: then the output begins inside.
func opensReasoning(rendered chat.Rendered, r answer.Reasoning) bool {
	text := strings.TrimRightFunc(rendered.Text, unicode.IsSpace)
	if r.Open == "" || !strings.HasSuffix(text, r.Open) {
		return false
	}
	n := len(rendered.Literal)
	return n == 0 || rendered.Literal[n-1].End <= len(text)-len(r.Open)
}

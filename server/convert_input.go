package server

import (
	"fmt"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// generateInput converts the input of a GenerateRequest; nil after a violation.
func (l limits) generateInput(v *violations, in *sluicev1.GenerateRequest) inference.Input {
	switch input := in.GetInput().(type) {
	case *sluicev1.GenerateRequest_Prompt:
		return l.prompt(v, input.Prompt, in.ParseSpecial)
	case *sluicev1.GenerateRequest_Tokens:
		return l.tokens(v, input.Tokens, in.TruncatePromptTokens != nil)
	case *sluicev1.GenerateRequest_Chat:
		return l.conversation(v, input.Chat)
	default:
		v.addf("input", "exactly one of prompt, tokens and chat must be set")
		return nil
	}
}

// countInput converts the input of a CountTokensRequest.
func (l limits) countInput(in *sluicev1.CountTokensRequest) (inference.Input, error) {
	var v violations
	var out inference.Input
	switch input := in.GetInput().(type) {
	case *sluicev1.CountTokensRequest_Prompt:
		out = l.prompt(&v, input.Prompt, in.ParseSpecial)
	case *sluicev1.CountTokensRequest_Chat:
		out = l.conversation(&v, input.Chat)
	default:
		v.addf("input", "exactly one of prompt and chat must be set")
	}
	return out, v.err()
}

func (l limits) prompt(v *violations, text string, parseSpecial *bool) inference.Input {
	switch {
	case text == "":
		v.addf("prompt", "must not be empty")
	case len(text) > l.maxText():
		v.addf("prompt", "has %d bytes, more than the model's context of %d tokens can hold", len(text), l.context)
	}
	return inference.Prompt{Text: text, ParseSpecial: parseSpecial == nil || *parseSpecial}
}

// tokens converts token ids. More than the context holds are allowed only where most will be cut off.
func (l limits) tokens(v *violations, in *sluicev1.Tokens, truncated bool) inference.Input {
	ids := in.GetIds()
	switch {
	case len(ids) == 0:
		v.addf("tokens.ids", "must not be empty")
	case len(ids) > l.context && !truncated:
		v.addf("tokens.ids", "has %d tokens, more than the model's context of %d", len(ids), l.context)
	default:
		l.checkIDs(v, "tokens.ids", ids)
	}
	return inference.Tokens(ids)
}

// checkIDs notes the first id that is not in the vocabulary; a list may hold a million of them.
func (l limits) checkIDs(v *violations, field string, ids []uint32) {
	for i, id := range ids {
		if int64(id) >= int64(l.vocab) {
			v.addf(fmt.Sprintf("%s[%d]", field, i), "must be below the vocabulary size of %d", l.vocab)
			return
		}
	}
}

func (l limits) conversation(v *violations, in *sluicev1.Chat) inference.Input {
	if !l.chat {
		v.addf("chat", "the model has no chat template; use prompt or tokens")
	}
	continues := in.GetContinueFinalMessage()
	opens := !continues
	if in != nil && in.AddGenerationPrompt != nil {
		opens = in.GetAddGenerationPrompt()
	}
	if opens && continues {
		v.addf("chat.continue_final_message", "excludes add_generation_prompt")
	}
	out := inference.Chat{
		Messages:             l.messages(v, in.GetMessages()),
		Tools:                l.tools(v, in.GetTools()),
		Template:             in.GetTemplate(),
		TemplateArgs:         l.templateArgs(v, in.GetTemplateArgs()),
		AddGenerationPrompt:  opens,
		ContinueFinalMessage: continues,
	}
	if len(in.GetTemplate()) > maxModelName {
		v.addf("chat.template", "must have at most %d bytes", maxModelName)
	}
	out.ToolChoice = toolChoice(v, in.GetToolChoice(), out.Tools)
	return out
}

// messages converts the turns of a conversation. Each turn costs a token or more, so that the context bounds their
// number as well as their bytes.
func (l limits) messages(v *violations, in []*sluicev1.Message) []inference.Message {
	switch {
	case len(in) == 0:
		v.addf("chat.messages", "must not be empty")
		return nil
	case len(in) > l.context:
		v.addf("chat.messages", "has %d messages, more than the model's context of %d tokens can hold", len(in), l.context)
		return nil
	}
	out := make([]inference.Message, len(in))
	size, faults := 0, 0
	for i, message := range in {
		before := len(v.list)
		if faults < maxFaultyMessages {
			checkMessage(v, fmt.Sprintf("chat.messages[%d]", i), message)
		}
		if len(v.list) > before {
			faults++
		}
		out[i] = inference.Message{
			Role: message.GetRole(), Content: message.GetContent(), Reasoning: message.GetReasoning(),
			Name: message.GetName(), ToolCallID: message.GetToolCallId(), ToolCalls: toolCalls(message.GetToolCalls()),
		}
		size += messageBytes(message)
	}
	if size > l.maxText() {
		v.addf("chat.messages", "have %d bytes, more than the model's context of %d tokens can hold", size, l.context)
	}
	return out
}

// maxFaultyMessages bounds the messages that one answer finds fault with.
const maxFaultyMessages = 16

func checkMessage(v *violations, field string, in *sluicev1.Message) {
	if fault := roleFault(in.GetRole()); fault != "" {
		v.addf(field+".role", "%s", fault)
	}
	if len(in.GetName()) > maxRole {
		v.addf(field+".name", "must have at most %d bytes", maxRole)
	}
	if len(in.GetToolCallId()) > maxCallID {
		v.addf(field+".tool_call_id", "must have at most %d bytes", maxCallID)
	}
	checkToolCalls(v, field+".tool_calls", in.GetToolCalls())
}

// roleFault says what is wrong with a role; empty if nothing is. The template writes a role where it writes its own
// control tokens, so it is held to letters in which none can be spelt.
func roleFault(role string) string {
	if role == "" {
		return "must not be empty"
	}
	if len(role) > maxRole {
		return fmt.Sprintf("must have at most %d characters", maxRole)
	}
	for i := range len(role) {
		switch c := role[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.':
		default:
			return "must consist of ASCII letters, digits, '_', '-' and '.'"
		}
	}
	return ""
}

package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/chat"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// The limits of what a conversation says of tools. Their texts together are bounded by the context, as the messages'.
const (
	maxTools     = 128
	maxToolName  = 64  // bytes
	maxCallID    = 256 // bytes
	maxToolCalls = 128 // of one message
)

// tools converts the tools that a model may call.
func (l limits) tools(v *violations, in []*sluicev1.Tool) []inference.Tool {
	if len(in) == 0 {
		return nil
	}
	if len(in) > maxTools {
		v.addf("chat.tools", "must have at most %d tools", maxTools)
		return nil
	}
	out := make([]inference.Tool, len(in))
	names, size := map[string]bool{}, 0
	for i, tool := range in {
		field := fmt.Sprintf("chat.tools[%d]", i)
		name := tool.GetName()
		switch fault := toolNameFault(name); {
		case fault != "":
			v.addf(field+".name", "%s", fault)
		case names[name]:
			v.addf(field+".name", "is that of another tool")
		}
		names[name] = true
		size += len(tool.GetDescription()) + len(tool.GetParameters())
		out[i] = inference.Tool{Name: name, Description: tool.GetDescription(), Parameters: tool.GetParameters()}
	}
	if size > l.maxText() {
		v.addf("chat.tools", "have %d bytes, more than the model's context of %d tokens can hold", size, l.context)
		return nil
	}
	for i, tool := range out {
		if tool.Parameters != "" && !isJSONObject(tool.Parameters) {
			v.addf(fmt.Sprintf("chat.tools[%d].parameters", i), "must be the text of a JSON object")
		}
	}
	return out
}

// toolNameFault says what is wrong with a tool's name; empty if nothing is.
func toolNameFault(name string) string {
	switch {
	case name == "":
		return "must not be empty"
	case len(name) > maxToolName:
		return fmt.Sprintf("must have at most %d characters", maxToolName)
	default:
		return roleFault(name)
	}
}

// isJSONObject says whether a text is a JSON object.
func isJSONObject(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") && json.Valid([]byte(text))
}

// checkToolCalls checks the calls that an assistant made.
func checkToolCalls(v *violations, field string, in []*sluicev1.ToolCall) {
	if len(in) > maxToolCalls {
		v.addf(field, "must have at most %d calls", maxToolCalls)
		return
	}
	for i, call := range in {
		at := fmt.Sprintf("%s[%d]", field, i)
		if fault := toolNameFault(call.GetName()); fault != "" {
			v.addf(at+".name", "%s", fault)
		}
		if len(call.GetId()) > maxCallID {
			v.addf(at+".id", "must have at most %d bytes", maxCallID)
		}
		if !isJSONObject(call.GetArguments()) {
			v.addf(at+".arguments", "must be the text of a JSON object")
		}
	}
}

// toolCalls converts the calls that an assistant made.
func toolCalls(in []*sluicev1.ToolCall) []inference.ToolCall {
	if len(in) == 0 {
		return nil
	}
	out := make([]inference.ToolCall, len(in))
	for i, call := range in {
		out[i] = inference.ToolCall{ID: call.GetId(), Name: call.GetName(), Arguments: call.GetArguments()}
	}
	return out
}

// messageBytes is the size of what a message says.
func messageBytes(in *sluicev1.Message) int {
	n := len(in.GetContent()) + len(in.GetReasoning())
	for _, call := range in.GetToolCalls() {
		n += len(call.GetArguments())
	}
	return n
}

// toolChoice converts which tool may be called.
func toolChoice(v *violations, in *sluicev1.ToolChoice, tools []inference.Tool) inference.ToolChoice {
	const field = "chat.tool_choice"
	switch choice := in.GetChoice().(type) {
	case nil:
		return inference.ToolChoice{}
	case *sluicev1.ToolChoice_Name:
		if !slices.ContainsFunc(tools, func(t inference.Tool) bool { return t.Name == choice.Name }) {
			v.addf(field+".name", "is that of no tool in chat.tools")
			return inference.ToolChoice{}
		}
		return inference.ToolChoice{Mode: inference.ToolChoiceNamed, Name: choice.Name}
	case *sluicev1.ToolChoice_Mode:
		switch choice.Mode {
		case sluicev1.ToolChoiceMode_TOOL_CHOICE_MODE_UNSPECIFIED, sluicev1.ToolChoiceMode_TOOL_CHOICE_MODE_AUTO:
			return inference.ToolChoice{}
		case sluicev1.ToolChoiceMode_TOOL_CHOICE_MODE_NONE:
			return inference.ToolChoice{Mode: inference.ToolChoiceNone}
		case sluicev1.ToolChoiceMode_TOOL_CHOICE_MODE_REQUIRED:
			if len(tools) == 0 {
				v.addf(field+".mode", "requires a call, and chat.tools has no tool")
				return inference.ToolChoice{}
			}
			return inference.ToolChoice{Mode: inference.ToolChoiceRequired}
		}
	}
	v.addf(field, "is none of the choices")
	return inference.ToolChoice{}
}

// templateArgs converts further variables of a template. What the request has fields for is not among them, nor what a
// template takes from the model.
func (l limits) templateArgs(v *violations, text string) map[string]any {
	const field = "chat.template_args"
	switch {
	case text == "":
		return nil
	case len(text) > l.maxText():
		v.addf(field, "has %d bytes, more than the model's context of %d tokens can hold", len(text), l.context)
		return nil
	}
	args, err := chat.ArgsFromJSON([]byte(text))
	if err != nil {
		v.addf(field, "must be the text of a JSON object")
		return nil
	}
	for _, name := range []string{"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"} {
		if _, set := args[name]; set {
			v.addf(field, "must not have %q", name)
		}
	}
	return args
}

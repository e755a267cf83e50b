package answer

import "strings"

// CallFormat is a form in which models call tools.
type CallFormat string

// The forms of calls.
const (
	// NoCalls is the form of models that call no tools.
	NoCalls CallFormat = ""
	// Hermes is that of Nous Research's models and of Qwen: <tool_call>{"name": …, "arguments": {…}}</tool_call>, any
	// number of them.
	Hermes CallFormat = "hermes"
	// Llama3 is that of Llama 3.1 and later: an answer that is {"name": …, "parameters": {…}}, with or without
	// <|python_tag|> before it, more of them after semicolons; or the tag and tool.call(argument="value") or a program.
	Llama3 CallFormat = "llama3"
	// Mistral is [TOOL_CALLS] and a list of {"name": …, "arguments": {…}}, or, later, the name and the arguments:
	// [TOOL_CALLS]name{…} and [TOOL_CALLS]name[ARGS]{…}.
	Mistral CallFormat = "mistral"
	// JSON is an answer that is {"name": …, "arguments": {…}} or a list of these, alone or as a block of Markdown: what
	// models without a form of their own write when a prompt asks for it.
	JSON CallFormat = "json"
)

// CallFormats are the forms that a Parser knows.
func CallFormats() []CallFormat { return []CallFormat{Hermes, Llama3, Mistral, JSON} }

// Reasoning is a form in which models reason: between two tags, at the beginning of an answer.
type Reasoning struct{ Name, Open, Close string }

// Reasonings are the forms of reasoning that are known.
func Reasonings() []Reasoning {
	return []Reasoning{
		{"think", "<think>", "</think>"}, // DeepSeek-R1, Qwen and most others
		{"cohere", "<|START_THINKING|>", "<|END_THINKING|>"},
		{"mistral", "[THINK]", "[/THINK]"},
		{"seed", "<seed:think>", "</seed:think>"},
	}
}

// The marks of the forms of calls.
const (
	toolCallOpen, toolCallClose = "<tool_call>", "</tool_call>"
	pythonTag                   = "<|python_tag|>"
	mistralCalls                = "[TOOL_CALLS]"
	mistralCallID, mistralArgs  = "[CALL_ID]", "[ARGS]"
	fence, language             = "```", "json" // of a block of Markdown
)

// Marks are the texts that tell a form's calls and reasoning from other text. A tokenizer may have special tokens for
// them, which then must not be left out of the text.
func Marks(calls CallFormat, reasoning Reasoning) []string {
	var marks []string
	if reasoning.Open != "" {
		marks = append(marks, reasoning.Open, reasoning.Close)
	}
	switch calls {
	case Hermes:
		marks = append(marks, toolCallOpen, toolCallClose)
	case Llama3:
		marks = append(marks, pythonTag)
	case Mistral:
		marks = append(marks, mistralCalls, mistralCallID, mistralArgs)
	case NoCalls, JSON:
	}
	return marks
}

// DetectCalls tells a model's form of calls from its chat template and its tokens. A template that does not mention tools
// has none, nor has one whose form is not known.
func DetectCalls(template string, hasToken func(string) bool) CallFormat {
	mentions := func(mark string) bool { return strings.Contains(template, mark) }
	switch {
	case !mentions("tools"):
		return NoCalls
	case mentions(mistralCalls) || hasToken(mistralCalls):
		return Mistral
	case mentions("<function=") || mentions("<arg_key>") || mentions("<｜tool▁call") || mentions("<|channel|>"):
		return NoCalls // calls in XML, DeepSeek's, and those of gpt-oss
	case mentions(toolCallOpen):
		return Hermes
	case mentions(pythonTag) || hasToken(pythonTag):
		return Llama3
	case mentions("name") && (mentions("arguments") || mentions("parameters")):
		return JSON
	}
	return NoCalls
}

// DetectReasoning tells a model's form of reasoning from its chat template and its tokens.
func DetectReasoning(template string, hasToken func(string) bool) (Reasoning, bool) {
	for _, r := range Reasonings() {
		if strings.Contains(template, r.Close) || hasToken(r.Open) && hasToken(r.Close) {
			return r, true
		}
	}
	return Reasoning{}, false
}

// Lead is what a model writes before a call in a form, so that the call's JSON follows at once.
func Lead(form CallFormat) string {
	switch form {
	case Hermes:
		return toolCallOpen + "\n"
	case Mistral:
		return mistralCalls
	case Llama3, JSON, NoCalls:
	}
	return ""
}

// ArgumentsKey is what a form calls the arguments of a call.
func ArgumentsKey(form CallFormat) string {
	if form == Llama3 {
		return "parameters"
	}
	return "arguments"
}

package answer

import (
	"slices"
	"strings"
)

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
	// Granite is that of IBM's Granite 3 and of Phi-4-mini: <|tool_call|> and a list of {"name": …, "arguments": {…}}, perhaps
	// with <|/tool_call|> behind it. Nemotron has <TOOLCALL> there, ToolCalls (Apriel, MiniMax-M1) <tool_calls>, Cohere
	// <|START_ACTION|> and {"tool_name": …, "parameters": {…}}, GigaChat (3.1) <|function_call|> and one object.
	Granite   CallFormat = "granite"
	Nemotron  CallFormat = "nemotron"
	ToolCalls CallFormat = "tool-calls"
	Cohere    CallFormat = "cohere"
	GigaChat  CallFormat = "gigachat"
	// DeepSeek is <｜tool▁calls▁begin｜>, then for each call <｜tool▁call▁begin｜>name<｜tool▁sep｜>{…}<｜tool▁call▁end｜> or, as of
	// R1, the word function before the separator, and behind it the name and the arguments as a block of Markdown. Kimi is the
	// same with marks of its own.
	DeepSeek CallFormat = "deepseek"
	Kimi     CallFormat = "kimi"
	// Qwen3Coder is <tool_call><function=name><parameter=key>value</parameter>…</function></tool_call>, as of Qwen3-Coder,
	// Qwen3.5 and Nemotron 3; a JSON object in place of the parameters is that of Llama 3.1's custom functions. Seed is the
	// same between <seed:tool_call> and </seed:tool_call>.
	Qwen3Coder CallFormat = "qwen3-coder"
	Seed       CallFormat = "seed"
	// GLM is <tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value>…</tool_call>.
	GLM CallFormat = "glm"
	// MiniMax (M2) is <minimax:tool_call><invoke name="name"><parameter name="key">value</parameter>…, DeepSeek32 the same
	// with marks of its own, of which one says whether a value is text.
	MiniMax    CallFormat = "minimax"
	DeepSeek32 CallFormat = "deepseek-v3.2"
	// Harmony is that of gpt-oss: <|channel|>commentary to=functions.name <|constrain|>json<|message|>{…}<|call|>, or with the
	// recipient before the channel.
	Harmony CallFormat = "harmony"
	// Gemma (4) is <|tool_call>call:name{key:<|"|>text<|"|>,key:3}<tool_call|>, FunctionGemma the same with marks of its own.
	Gemma         CallFormat = "gemma"
	FunctionGemma CallFormat = "function-gemma"
)

// CallFormats are the forms that a Parser knows.
func CallFormats() []CallFormat {
	return []CallFormat{
		Hermes, Llama3, Mistral, JSON, Granite, Nemotron, ToolCalls, Cohere, GigaChat, DeepSeek, Kimi, Qwen3Coder, Seed, GLM, MiniMax, DeepSeek32,
		Harmony, Gemma, FunctionGemma,
	}
}

// Reasoning is a form in which models reason: between two tags, at the beginning of an answer. That of gpt-oss is a channel,
// and says that an answer is messages on channels.
type Reasoning struct {
	Name, Open, Close string

	Again string // opens it once more, anywhere behind its end; "": nothing does
}

// Reasonings are the forms of reasoning that are known.
func Reasonings() []Reasoning {
	return []Reasoning{
		{Name: "think", Open: "<think>", Close: "</think>"}, // DeepSeek-R1, Qwen and most others
		{Name: "cohere", Open: "<|START_THINKING|>", Close: "<|END_THINKING|>"},
		{Name: "mistral", Open: "[THINK]", Close: "[/THINK]"},
		{Name: "seed", Open: "<seed:think>", Close: "</seed:think>"},
		{Name: "gemma", Open: gemmaChannel + "thought", Close: "<channel|>"},
		{Name: harmonyName, Open: harmonyThought, Close: harmonyEnd, Again: harmonyStart + harmonyRole + harmonyThought},
	}
}

// The marks of the forms of calls.
const (
	toolCallOpen, toolCallClose = "<tool_call>", "</tool_call>"
	pythonTag                   = "<|python_tag|>"
	mistralCalls                = "[TOOL_CALLS]"
	mistralCallID, mistralArgs  = "[CALL_ID]", "[ARGS]"
	fence, language             = "```", "json" // of a block of Markdown

	functionOpen = "<function="

	gemmaChannel = "<|channel>" // a token of its own
)

// Marks are the texts that tell a form's calls and reasoning from other text. A tokenizer may have special tokens for
// them, which then must not be left out of the text.
func Marks(calls CallFormat, reasoning Reasoning) []string {
	var marks []string
	if reasoning.Open != "" {
		marks = append(marks, reasoning.Open, reasoning.Close)
	}
	if calls == Harmony || reasoning.Name == harmonyName {
		return append(marks, harmonyMarks()...)
	}
	if strings.HasPrefix(reasoning.Open, gemmaChannel) {
		marks = append(marks, gemmaChannel)
	}
	switch calls {
	case Hermes:
		marks = append(marks, toolCallOpen, toolCallClose)
	case Llama3:
		marks = append(marks, pythonTag)
	case Mistral:
		marks = append(marks, mistralCalls, mistralCallID, mistralArgs)
	default:
		if f := formOf(calls); f != nil {
			marks = append(append(marks, f.open...), f.others...)
			marks = slices.DeleteFunc(marks, func(mark string) bool { return mark == "" })
		}
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
	case mentions(harmonyChannel) && mentions(harmonyMessage):
		return Harmony
	case mentions(functionOpen) && mentions("<seed:tool_call>"):
		return Seed
	case mentions(functionOpen):
		return Qwen3Coder
	case mentions("<arg_key>"):
		return GLM
	case mentions("｜DSML｜") && (mentions("function_calls") || mentions("tool_calls")):
		return DeepSeek32
	}
	for _, format := range []CallFormat{Gemma, FunctionGemma, DeepSeek, Kimi, MiniMax, Granite, Nemotron, ToolCalls, Cohere, GigaChat} {
		if f := formOf(format); slices.ContainsFunc(f.open, func(mark string) bool { return mentions(mark) || hasToken(mark) }) {
			return format
		}
	}
	switch {
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
		if r.Name == harmonyName && !strings.Contains(template, r.Open) { // others end messages likewise
			continue
		}
		if strings.Contains(template, r.Close) || hasToken(r.Open) && hasToken(r.Close) {
			return r, true
		}
	}
	return Reasoning{}, false
}

// Lead is what a model writes before a call of one of some tools in a form, so that the rest of it follows at once.
func Lead(format CallFormat, tools []string) string {
	switch format {
	case Harmony:
		lead := harmonyChannel + "commentary " + harmonyTo + harmonyFunctions
		if len(tools) == 1 { // so that the marks are tokens of their own, which a grammar does not have
			lead += tools[0] + harmonyJSON
		}
		return lead
	case Hermes:
		return toolCallOpen + "\n"
	case Mistral:
		return mistralCalls
	default:
		if f := formOf(format); f != nil {
			return f.lead
		}
	}
	return ""
}

// CallObject is how a form writes a call as JSON.
type CallObject struct {
	Name, Arguments string // the members
	List            bool   // the object stands in a list
}

// ObjectOf is how a form writes a call as JSON. Of the others, Grammar says how they write it.
func ObjectOf(format CallFormat) CallObject {
	switch format {
	case Llama3:
		return CallObject{Name: "name", Arguments: "parameters"}
	case Cohere:
		return CallObject{Name: "tool_name", Arguments: "parameters", List: true}
	case Mistral, Granite, Nemotron, ToolCalls:
		return CallObject{Name: "name", Arguments: "arguments", List: true}
	default:
		return CallObject{Name: "name", Arguments: "arguments"}
	}
}

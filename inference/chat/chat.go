package chat

import (
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ardanlabs/jinja"
)

// MaxSource is the largest template that Parse accepts, in bytes. The largest published ones have a quarter of it.
const MaxSource = 128 << 10

// Options says how a template is used.
type Options struct {
	// Special are the texts of the tokenizer's special tokens. Where the caller's texts spell one, or could complete
	// one together with the template's text, Rendered.Literal covers a byte of it. None: Literal stays empty.
	Special []string
	// Limits bound a render; the zero value means DefaultLimits.
	Limits Limits
}

// Template is a parsed chat template. It is safe for concurrent use.
type Template struct {
	compiled *jinja.Template
	source   string
	limits   Limits
	marker   *marker
}

// Input is what a template may use. The zero values of tools and documents are defined as none, as Hugging Face does.
type Input struct {
	// Messages are the conversation, oldest first. Nil leaves Args["messages"] in force.
	Messages []Message
	// Tools are what the model may call. Nil leaves Args["tools"] in force.
	Tools []Tool
	// AddGenerationPrompt asks the template to open the assistant's turn.
	AddGenerationPrompt bool
	// ContinueFinalMessage ends the text after the content of the last message, so that the model goes on with it. The
	// template must write that content, and AddGenerationPrompt must be off.
	ContinueFinalMessage bool
	// BOSToken and EOSToken are the texts of the model's begin and end tokens; empty means undefined to the template.
	BOSToken, EOSToken string
	// Now is what strftime_now formats, in its own location; zero means the time of the call.
	Now time.Time
	// Args are further variables: tools, documents, a template's own switches. Values are nil, bool, int, int64,
	// float64, string, []any, map[string]any or what FromJSON returns, which keeps the order of keys. A name in Args
	// wins over the fields above.
	Args map[string]any
}

// Rendered is the text of a conversation.
type Rendered struct {
	Text string
	// Literal are ascending, disjoint byte ranges of Text that came from the caller and that no special token may
	// touch. Everything else in Text may be matched against special tokens.
	Literal []Range
}

// Range is the bytes from Start up to End of a text.
type Range struct{ Start, End int }

// RaisedError is the template's own complaint: it called raise_exception.
type RaisedError struct{ Message string }

func (e *RaisedError) Error() string {
	return "the chat template refused the conversation: " + e.Message
}

// PanicError is a panic of the template library on a template, or a conversation, that it cannot take: a bug of it.
type PanicError struct {
	Value any
	stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("the template library failed: panic: %v", e.Value)
}

// Stack is the stack of the panic, for the log.
func (e *PanicError) Stack() []byte { return e.stack }

// Parse reads a template. Its errors say where the source is wrong; a source over MaxSource or nested too deeply is
// refused with a LimitError.
func Parse(source string, options Options) (t *Template, err error) {
	if len(source) > MaxSource {
		return nil, &LimitError{What: "template source", Limit: MaxSource}
	}
	defer recoverInto(&err)
	compiled, err := jinja.Compile(normalize(source))
	if err != nil {
		return nil, fmt.Errorf("parse chat template: %w", err)
	}
	if err := instrument(compiled); err != nil {
		return nil, fmt.Errorf("parse chat template: %w", err)
	}
	limits := options.Limits
	if limits == (Limits{}) {
		limits = DefaultLimits()
	}
	return &Template{compiled: compiled, source: source, limits: limits, marker: newMarker(options.Special)}, nil
}

// normalize does what Jinja does to a source before it looks at it: one kind of line end, and none at the end.
func normalize(source string) string {
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	return strings.TrimSuffix(source, "\n")
}

// Source is the text that was parsed.
func (t *Template) Source() string { return t.source }

// Render renders a conversation. It returns a *RaisedError when the template refuses it, a *LimitError when a limit
// was reached, a *PanicError for a bug of the template library, and other errors for what the template language does not allow.
func (t *Template) Render(input Input) (rendered Rendered, err error) {
	vars := variables(input)
	size, err := weighAll(vars, t.limits.Input)
	if err != nil {
		return Rendered{}, fmt.Errorf("render chat template: %w", err)
	}
	aliases := t.marker.apply(vars, t.source)
	var end tag
	if input.ContinueFinalMessage {
		if end, err = tagFinalMessage(vars, aliases, t.source); err != nil {
			return Rendered{}, fmt.Errorf("render chat template: %w", err)
		}
	}
	r := &render{meter: newMeter(t.limits, size), aliases: aliases, now: input.Now}
	r.define(vars)

	defer recoverInto(&err)
	text, err := t.compiled.RenderValues(vars)
	if err != nil {
		return Rendered{}, fmt.Errorf("render chat template: %w", err)
	}
	if input.ContinueFinalMessage {
		if text, err = end.cut(text); err != nil {
			return Rendered{}, fmt.Errorf("render chat template: %w", err)
		}
	}
	text, literal := aliases.restore(text)
	return Rendered{Text: text, Literal: literal}, nil
}

// variables makes the template's variables of an input.
func variables(input Input) map[string]jinja.Value {
	vars := map[string]jinja.Value{
		"tools":                 jinja.None(),
		"documents":             jinja.None(),
		"add_generation_prompt": jinja.NewBool(input.AddGenerationPrompt),
	}
	if input.BOSToken != "" {
		vars["bos_token"] = jinja.NewString(input.BOSToken)
	}
	if input.EOSToken != "" {
		vars["eos_token"] = jinja.NewString(input.EOSToken)
	}
	if input.Messages != nil {
		messages := make([]jinja.Value, len(input.Messages))
		for i, m := range input.Messages {
			messages[i] = m.value()
		}
		vars["messages"] = jinja.NewList(messages)
	}
	if input.Tools != nil {
		tools := make([]jinja.Value, len(input.Tools))
		for i, tool := range input.Tools {
			tools[i] = tool.value()
		}
		vars["tools"] = jinja.NewList(tools)
	}
	for name, value := range input.Args {
		vars[name] = toValue(value)
	}
	return vars
}

// recoverInto turns a panic of the template library into an error: templates are foreign, and a fault in reading
// one must not take the process with it.
func recoverInto(err *error) {
	if p := recover(); p != nil {
		*err = &PanicError{Value: p, stack: debug.Stack()}
	}
}

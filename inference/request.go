package inference

import (
	"time"

	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/engine"
)

// Request is a validated request for one model: every field is set and within its range, so nothing below this
// type checks it again. server/convert.go and the adapters make it.
type Request struct {
	// ID names the request in logs, traces and the answer.
	ID string
	// Tenant is whose request it is, for metrics and for its fair share of the model; "" for a caller without
	// credentials. It comes from the server's own configuration and never from the client.
	Tenant string
	// Priority lets a request start before others of its tenant that wait, -MaxPriority to MaxPriority.
	Priority int
	// Input is what to continue: Prompt, Tokens or Chat.
	Input Input
	// TruncatePrompt is how many tokens of the prompt are kept, its last ones; 0: all.
	TruncatePrompt int
	// Sampling says how tokens are chosen.
	Sampling Sampling
	// Stop says where the output ends besides the end token.
	Stop Stop
	// Output says what is reported besides text.
	Output Output
	// Constraint is what the output must conform to; nil: anything.
	Constraint *Constraint
	// Cache says how the prefix cache may be used.
	Cache Cache
	// Arrival is when the request reached the server; time to first token counts from it.
	Arrival time.Time
}

// MaxPriority is the highest priority of a request; the lowest is -MaxPriority. Each step is worth engine.PriorityStep of
// waiting, so that nothing waits forever.
const MaxPriority = engine.MaxPriority

// Cache says how a request may use the prefix cache. Whatever it says, the output is the same.
type Cache struct {
	Bypass bool   // neither read nor fill it
	Salt   string // share only with requests of the same salt
}

// Input is one of Prompt, Tokens and Chat.
type Input interface{ isInput() }

// Prompt is text to continue.
type Prompt struct {
	Text         string // not empty
	ParseSpecial bool   // recognise special tokens written in Text
}

// Tokens are token ids to continue, each below the vocabulary size; not empty.
type Tokens []uint32

// Chat is a conversation to continue through one of the model's chat templates. Special tokens in what the caller wrote
// stay text.
type Chat struct {
	Messages             []Message // not empty
	Tools                []Tool    // that the model may call, with different names
	ToolChoice           ToolChoice
	Template             string         // one of Model.Templates; "": the one for tools if there are some, or the default
	TemplateArgs         map[string]any // further variables of the template, as chat.ArgsFromJSON reads them
	AddGenerationPrompt  bool           // open the assistant's turn
	ContinueFinalMessage bool           // or go on with the last message's content
}

// Message is one turn of a Chat. What is empty is not there.
type Message struct {
	Role       string
	Content    string
	Reasoning  string // of an assistant, before Content
	Name       string // of the speaker
	ToolCalls  []ToolCall
	ToolCallID string // the call that a tool answers
}

// Tool is a function that the model may call.
type Tool struct {
	Name, Description string
	Parameters        string // JSON Schema: the text of a JSON object; "": none
}

// ToolCall is a call of a tool.
type ToolCall struct {
	ID, Name  string
	Arguments string // the text of a JSON object
}

// ToolChoice says which tools may be called.
type ToolChoice struct {
	Mode ToolChoiceMode
	Name string // of the one tool for ToolChoiceNamed
}

// ToolChoiceMode is a kind of choice.
type ToolChoiceMode int

// The kinds of choice.
const (
	ToolChoiceAuto     ToolChoiceMode = iota // the model decides
	ToolChoiceNone                           // the model does not see the tools
	ToolChoiceRequired                       // some tool is called
	ToolChoiceNamed                          // the one of a name is called
)

func (Prompt) isInput() {}
func (Tokens) isInput() {}
func (Chat) isInput()   {}

// Sampling says how tokens are chosen. The ranges are those of proto/sluice/v1/sampling.proto.
type Sampling struct {
	MaxTokens         int // 0: as many as fit, at most Defaults.MaxTokens
	MinTokens         int // tokens before the output may end by itself
	Temperature       float32
	TopK              int
	TopP              float32
	MinP              float32
	TypicalP          float32 // 0 is off, as 1
	RepetitionPenalty float32
	PresencePenalty   float32
	FrequencyPenalty  float32
	NoRepeatNGram     int
	LogitBias         map[uint32]float32 // by token id, each below the vocabulary size
	AllowedTokenIDs   []uint32           // the only ones that may be drawn, ascending, below the vocabulary size; nil: all
	BadWords          []string           // none empty
	Seed              uint64
	N                 int // outputs, at most Model.MaxOutputs; output i uses Seed + i; 0 is 1
	IgnoreEOS         bool
	MaxThinking       *int // tokens of reasoning, 0 or more, of a Chat's outputs; nil: any number
}

// Stop says where an output ends besides the model's end token.
type Stop struct {
	Strings         []string // none empty
	TokenIDs        []uint32
	IncludeInOutput bool // keep the matched text
}

// Output says what is reported besides text.
type Output struct {
	TokenIDs          bool
	SkipSpecialTokens bool
	Echo              bool     // the text begins with the prompt's
	Raw               bool     // reasoning and tool calls stay in the text
	Logprobs          Logprobs // of the generated tokens
	PromptLogprobs    Logprobs // of the prompt's tokens
	Trace             bool     // how each token was drawn
}

// Logprobs asks for the log-probability of each token and of the Top most likely ones at its position.
type Logprobs struct {
	Wanted  bool
	Top     int  // 0 or more
	Entropy bool // that of each position as well
}

// Defaults are a model's values for what a request leaves unset: its generation_config.json over the server's own.
type Defaults struct {
	Sampling Sampling // Seed is unused
}

// FinishReason says why an output ended.
type FinishReason int

// The reasons why an output ends.
const (
	FinishStop         FinishReason = iota + 1 // the end token
	FinishStopSequence                         // a stop string or stop token id
	FinishLength                               // max_tokens, or the context is full
	FinishToolCall                             // the end token, after calls of tools
)

// Update is what became of one output since the last Update.
type Update struct {
	Index     int             // which output
	Reasoning string          // what the model thinks before it answers: before Text
	Text      string          // whole UTF-8 characters
	Calls     []answer.Call   // more of the tools' calls
	TokenIDs  []uint32        // if Output.TokenIDs was set
	Logprobs  []TokenLogprobs // one for each token, if Output.Logprobs asked for them
	Traces    []Trace         // one for each token, if Output.Trace was set
	Prompt    []TokenLogprobs // of the next tokens of the prompt, if Output.PromptLogprobs asked for them
	Finish    *Finish         // set on the output's last Update
}

// TokenLogprobs is what the model thought of one position.
type TokenLogprobs struct {
	Token   Logprob   // of the token there
	Top     []Logprob // of the most likely ones, best first
	Entropy *float32  // of the distribution in nats, if Logprobs.Entropy asked for it and there is one
}

// Trace is how a token was drawn: the steps of the sampler that were on, in their order.
type Trace struct {
	Steps      []TraceStep
	Candidates int     // tokens that were left to draw from
	Chance     float32 // of the drawn one among them
}

// TraceStep is what a step removed.
type TraceStep struct {
	Name    string // of the request's field
	Removed int    // tokens
	Mass    float32
	Top     []Logprob // the most likely removed ones, with their log-probabilities before the step
}

// Logprob is a token's log-probability in the model's own distribution, before any sampling parameter.
type Logprob struct {
	ID    uint32
	Bytes []byte // what the token stands for
	Value float32
	Rank  int // 1 and how many tokens are more likely; 0 for the first token of a prompt, which has no probability
}

// Finish says how an output ended.
type Finish struct {
	Reason       FinishReason
	StopSequence string // the stop string, or the text of the stop token id, for FinishStopSequence
	Seed         uint64
}

// Summary is the account of a finished request.
type Summary struct {
	Usage   Usage
	Timings Timings
}

// Usage counts tokens.
type Usage struct {
	PromptTokens     int
	CompletionTokens int // special and end tokens included
	CachedTokens     int // prompt tokens taken from the prefix cache
	ReasoningTokens  int // of CompletionTokens, those between the tags of the model's reasoning
}

// Timings says where the time went.
type Timings struct {
	Queue            time.Duration // admission to first step
	Prefill          time.Duration // first step to the end of the prompt
	TimeToFirstToken time.Duration // arrival to first token
	Decode           time.Duration // first token to last
}

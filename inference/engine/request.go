package engine

import (
	"fmt"
	"time"

	"github.com/sluiceml/sluice/inference/grammar"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
)

// Request is one prompt to continue. The engine keeps its slices and its decoder: the caller must not touch them
// after Submit.
type Request struct {
	// ID names the request in errors.
	ID string
	// Prompt holds at least one token, each below the vocabulary size, and fewer than a slot has positions.
	Prompt []uint32
	// MaxTokens is how many tokens may be generated, at least 1. It is cut to what fits into a slot.
	MaxTokens int
	// Sampling says how tokens are drawn. Its Ends are set by the engine: the end tokens, unless IgnoreEOS is set, and the
	// stop tokens. MinTokens holds for stop strings too.
	Sampling sampling.Params
	// Stop says where the output ends besides the end token.
	Stop Stop
	// EOS are the model's end tokens.
	EOS []uint32
	// IgnoreEOS lets generation go on after an end token.
	IgnoreEOS bool
	// Decoder turns tokens into text. Without one there is no text, and stop strings match nothing.
	Decoder Decoder
	// NewReasoning makes what follows an output through the model's reasoning. It may be nil.
	NewReasoning func() Reasoning
	// TokenText is the text of a token, for Finish.StopSequence of a stop token. It may be nil.
	TokenText func(id uint32) string
	// Grammar says what the output must conform to; nil: anything. The output ends where nothing may follow it, even if that
	// is before MinTokens, and end tokens may come where it may end.
	Grammar *grammar.Grammar
	// WantTokenIDs asks for the ids of the generated tokens, end tokens included.
	WantTokenIDs bool
	// Logprobs asks for the log-probabilities of the generated tokens, PromptLogprobs for those of the prompt's, whose
	// prefill then runs in chunks of at most runner.MaxRows tokens and takes nothing from the prefix store.
	Logprobs, PromptLogprobs Logprobs
	// ScoreFrom is the first token of the prompt that PromptLogprobs are of, below the prompt's length. What lies before it
	// runs as any other prompt does.
	ScoreFrom int
	// Pooling asks for one vector of the hidden states of the prompt's tokens, if the session gives them. Then the request
	// ends with its prompt, and what is said of tokens to generate means nothing.
	Pooling Pooling
	// Trace asks how each token was drawn.
	Trace bool
	// Cache says how the prefix store may be used.
	Cache Cache
	// Tenant is who shares the engine fairly with other tenants.
	Tenant string
	// Priority lets a request start before others of its tenant: each step is worth PriorityStep of waiting. At least
	// -MaxPriority, at most MaxPriority.
	Priority int
	// Arrival is when the request reached the server. Default: when it is submitted.
	Arrival time.Time
}

// Logprobs asks for log-probabilities: those of each token and of the Top most likely ones at its position.
type Logprobs struct {
	Wanted  bool
	Top     int  // 0 or more
	Entropy bool // that of the distribution as well
}

// stride is the number of entries for one token.
func (l Logprobs) stride() int { return 1 + l.Top }

// TokenLogprobs is what the model thought of one position: of the token there, and of the most likely ones, best
// first. The values are those of the model's own distribution, whatever the request's sampling makes of it.
type TokenLogprobs struct {
	Token   sampling.Logprob
	Top     []sampling.Logprob
	Entropy float32 // of the distribution in nats, if Logprobs.Entropy asked for it
}

// What a step of priority is worth, and how many there are. So a request waits at most so much longer for others of its
// tenant than if all had one priority.
const (
	PriorityStep = 5 * time.Second
	MaxPriority  = 100
)

// Cache says how a request may use the prefix store. Whatever it says, the tokens are the same.
type Cache struct {
	Bypass bool   // neither look nor leave anything there
	Salt   string // share only with requests of the same salt
}

// Stop says where an output ends besides the end token.
type Stop struct {
	Strings         []string // none empty, each UTF-8
	TokenIDs        []uint32
	IncludeInOutput bool // keep the text that matched, and the stop token's
}

// Decoder turns the tokens of one output into text: Add returns what a token completes, always whole UTF-8
// characters, and Flush what is left at the end.
type Decoder interface {
	Add(id uint32) string
	Flush() string
}

// Reasoning follows one output through the model's reasoning. It is told of every token, and called by one goroutine at a
// time.
type Reasoning interface {
	// Next is the token that must come next, if there is one: what ends a reasoning whose budget is spent.
	Next() (id uint32, forced bool)
	// Add tells of the token that has come, and says whether it belongs to the reasoning.
	Add(id uint32) bool
	// Constrained says whether Request.Grammar holds for the next token. Where it does not yet, the output cannot end.
	Constrained() bool
}

// FinishReason says why an output ended.
type FinishReason int

// The reasons why an output ends.
const (
	FinishStop         FinishReason = iota + 1 // an end token
	FinishStopSequence                         // a stop string or a stop token
	FinishLength                               // MaxTokens, the slot is full, or a vector is all that was wanted
)

func (r FinishReason) String() string {
	switch r {
	case FinishStop:
		return "stop"
	case FinishStopSequence:
		return "stop_sequence"
	case FinishLength:
		return "length"
	}
	return fmt.Sprintf("FinishReason(%d)", int(r))
}

// Finish says how an output ended.
type Finish struct {
	Reason       FinishReason
	StopSequence string // the stop string, or the text of the stop token, for FinishStopSequence
}

// Update is what became of an output since the last Update.
type Update struct {
	Text     string           // whole UTF-8 characters
	TokenIDs []uint32         // if Request.WantTokenIDs was set; the reader's own
	Logprobs []TokenLogprobs  // one for each token, if Request.Logprobs asked for them
	Traces   []sampling.Trace // one for each token, if Request.Trace was set
	// Prompt is one for each further token of the prompt, if Request.PromptLogprobs asked for them: all come before the
	// first generated token. The first token follows nothing: its entry has rank 0, value 0 and no Top.
	Prompt []TokenLogprobs
	Vector []float32 // if Request.Pooling asked for it: the reader's own
	Finish *Finish   // set on the last Update
}

// Summary is the account of a request. It is final once the request has ended.
type Summary struct {
	Usage   Usage
	Timings Timings
}

// Usage counts tokens.
type Usage struct {
	PromptTokens     int
	CompletionTokens int // special and end tokens included
	CachedTokens     int // prompt tokens that were not computed
	ReasoningTokens  int // of CompletionTokens, those that Request.NewReasoning counts
}

// Timings says where the time went. What was not reached is 0.
type Timings struct {
	Queue            time.Duration // submission to first step
	Prefill          time.Duration // first step to the end of the prompt
	TimeToFirstToken time.Duration // arrival to first token
	Decode           time.Duration // first token to last
}

// greedy says whether nothing is read of logits but which is the best.
func (r *Request) greedy() bool {
	return r.Sampling.TakesBest() && r.Grammar == nil && !r.Logprobs.Wanted && !r.PromptLogprobs.Wanted && !r.Trace
}

// validate checks the conditions of Request.
func (r *Request) validate(l runner.Limits) error {
	switch {
	case len(r.Prompt) == 0 || len(r.Prompt) >= l.MaxLength:
		return fmt.Errorf("%w %s: a prompt of %d tokens, not 1 to %d", ErrInvalid, r.ID, len(r.Prompt), l.MaxLength-1)
	case r.Logprobs.Top < 0 || r.PromptLogprobs.Top < 0:
		return fmt.Errorf("%w %s: log-probabilities of %d and %d tokens, below 0",
			ErrInvalid, r.ID, r.Logprobs.Top, r.PromptLogprobs.Top)
	case r.ScoreFrom < 0 || r.ScoreFrom >= len(r.Prompt):
		return fmt.Errorf("%w %s: ScoreFrom is %d, in a prompt of %d tokens", ErrInvalid, r.ID, r.ScoreFrom, len(r.Prompt))
	case r.Priority < -MaxPriority || r.Priority > MaxPriority:
		return fmt.Errorf("%w %s: Priority is %d, not within %d", ErrInvalid, r.ID, r.Priority, MaxPriority)
	case r.Pooling < PoolNone || r.Pooling > PoolFirst || r.Pooling != PoolNone && (l.HiddenSize == 0 || r.PromptLogprobs.Wanted):
		return fmt.Errorf("%w %s: Pooling is %d, with hidden states of %d values", ErrInvalid, r.ID, r.Pooling, l.HiddenSize)
	case r.Pooling == PoolNone && r.MaxTokens < 1:
		return fmt.Errorf("%w %s: MaxTokens is %d, below 1", ErrInvalid, r.ID, r.MaxTokens)
	}
	if err := r.Sampling.Validate(); err != nil && r.Pooling == PoolNone {
		return fmt.Errorf("%w %s: %w", ErrInvalid, r.ID, err)
	}
	for i, id := range r.Prompt {
		if int64(id) >= int64(l.VocabSize) {
			return fmt.Errorf("%w %s: token %d of the prompt is %d, vocabulary of %d", ErrInvalid, r.ID, i, id, l.VocabSize)
		}
	}
	return nil
}

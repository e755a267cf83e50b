package server

import (
	"math"
	"time"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/requestid"
)

// This file and its neighbours convert_input.go and convert_sampling.go turn a GenerateRequest into an
// inference.Request: parse, don't validate. Every limit and range of the contract is checked here and nowhere
// below, except the one that needs the tokens: whether prompt and max_tokens fit the context.
//
// A field whose effect does not exist yet is refused by name; setting it to the value that means "off" is no fault.
// All faults of a request are reported together. Fields that this server's copy of the proto does not know (a
// newer client's) are ignored, as gRPC services do: sluice.v1 only grows, and a client that needs a new field finds
// out from the server's version.

// The limits of a request that do not depend on the model.
const (
	maxModelName      = 256 // bytes
	maxRole           = 64  // bytes
	maxSalt           = 256 // bytes
	maxStopStrings    = 16
	maxStopBytes      = 256 // of one stop string
	maxStopIDs        = 64
	maxLogitBias      = 1024
	maxBadWords       = 128
	maxLogprobs       = 20
	maxBadWordBytes   = 256 // of one bad word
	maxBytesPerToken  = 256 // no vocabulary has a longer token, so that a longer text cannot fit the context
	maxTokenizeBytes  = 1 << 20
	maxDetokenizeText = 8 << 20 // bytes
)

// limits is what a conversion needs to know of the model that a request is for.
type limits struct {
	context  int // positions that prompt and output share
	vocab    int // number of token ids
	outputs  int // most outputs of a request
	chat     bool
	reasons  bool // the model has a form of reasoning
	defaults inference.Defaults
}

// limitsOf takes the limits from a model.
func limitsOf(model *inference.Model) limits {
	return limits{
		context:  model.ContextLength(),
		vocab:    model.Tokenizer().Size(),
		outputs:  model.MaxOutputs(),
		chat:     model.HasChat(),
		reasons:  model.Reasons(),
		defaults: model.Defaults(),
	}
}

// maxText is the number of bytes above which a text cannot fit the context, whatever is in it. It spares the
// tokenizer megabytes that would be refused afterwards.
func (l limits) maxText() int { return l.context * maxBytesPerToken }

// draws are the values that the server makes up for what a request leaves unset.
type draws struct {
	id   func() string
	seed func() uint64
}

// request converts a GenerateRequest that arrived at a time. The error is an *inference.InvalidError.
func (l limits) request(in *sluicev1.GenerateRequest, arrival time.Time, draw draws) (inference.Request, error) {
	var v violations
	out := inference.Request{
		ID:             requestID(&v, in.GetRequestId()),
		Input:          l.generateInput(&v, in),
		TruncatePrompt: l.truncatePrompt(&v, in.TruncatePromptTokens),
		Sampling:       l.sampling(&v, in.GetSampling()),
		Stop:           l.stop(&v, in.GetStop()),
		Output:         output(&v, in.GetOutput()),
		Constraint:     constraint(&v, in.GetConstraint()),
		Cache:          cache(&v, in.GetCache()),
		Priority:       priority(&v, in.GetPriority()),
		Arrival:        arrival,
	}
	l.maxThinking(&v, in, &out)
	v.unsupported("adapter", in.GetAdapter() != "")
	if err := v.err(); err != nil {
		return inference.Request{}, err
	}
	if out.ID == "" {
		out.ID = draw.id()
	}
	if sampling := in.GetSampling(); sampling == nil || sampling.Seed == nil {
		out.Sampling.Seed = draw.seed()
	}
	return out, nil
}

// maxThinking converts how many tokens of reasoning there may be.
func (l limits) maxThinking(v *violations, in *sluicev1.GenerateRequest, out *inference.Request) {
	const field = "sampling.max_thinking_tokens"
	sampling := in.GetSampling()
	if sampling == nil || sampling.MaxThinkingTokens == nil {
		return
	}
	_, chats := out.Input.(inference.Chat)
	switch {
	case !l.reasons:
		v.addf(field, "the model has no form of reasoning")
	case !chats:
		v.addf(field, "must not be set unless the input is chat")
	default:
		out.Sampling.MaxThinking = new(int(min(sampling.GetMaxThinkingTokens(), math.MaxInt32)))
	}
}

// cache converts how the prefix cache may be used.
func cache(v *violations, in *sluicev1.CacheOptions) inference.Cache {
	if len(in.GetSalt()) > maxSalt {
		v.addf("cache.salt", "must have at most %d bytes", maxSalt)
	}
	return inference.Cache{Bypass: in.GetBypass(), Salt: in.GetSalt()}
}

// requestID checks the caller's name for a request.
func requestID(v *violations, id string) string {
	if err := requestid.Check(id); err != nil {
		v.addf("request_id", "%v", err)
		return ""
	}
	return id
}

// truncatePrompt is the number of tokens of the prompt that are kept; 0: all.
func (l limits) truncatePrompt(v *violations, value *uint32) int {
	switch {
	case value == nil:
		return 0
	case *value == 0:
		v.addf("truncate_prompt_tokens", "must be at least 1")
		return 0
	case int64(*value) > int64(l.context):
		v.addf("truncate_prompt_tokens", "must be at most the model's context of %d tokens", l.context)
		return 0
	default:
		return int(*value)
	}
}

// output converts what the answer carries besides text.
func output(v *violations, in *sluicev1.OutputOptions) inference.Output {
	out := inference.Output{
		TokenIDs:          in.GetTokenIds(),
		SkipSpecialTokens: in == nil || in.SkipSpecialTokens == nil || in.GetSkipSpecialTokens(),
		Echo:              in.GetEcho(),
		Raw:               in.GetRawText(),
		Trace:             in.GetSamplingTrace(),
	}
	if in != nil {
		out.Logprobs = logprobs(v, "output.logprobs", in.Logprobs)
		out.PromptLogprobs = logprobs(v, "output.prompt_logprobs", in.PromptLogprobs)
		if in.GetEntropy() {
			out.Logprobs.Wanted, out.Logprobs.Entropy = true, true
			out.PromptLogprobs.Entropy = out.PromptLogprobs.Wanted
		}
	}
	return out
}

// logprobs converts how many log-probabilities of each position are wanted, if any.
func logprobs(v *violations, field string, value *uint32) inference.Logprobs {
	if value == nil {
		return inference.Logprobs{}
	}
	if *value > maxLogprobs {
		v.addf(field, "must be at most %d", maxLogprobs)
		return inference.Logprobs{}
	}
	return inference.Logprobs{Wanted: true, Top: int(*value)}
}

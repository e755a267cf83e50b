package gateway

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// samplingFields are the fields that completions and chat completions share: those of OpenAI's API and, where it has none,
// those that vLLM added.
type samplingFields struct {
	Model            string             `json:"model"`
	MaxTokens        *uint32            `json:"max_tokens"`
	Temperature      *float32           `json:"temperature"`
	TopP             *float32           `json:"top_p"`
	N                *uint32            `json:"n"`
	Stop             stopList           `json:"stop"`
	PresencePenalty  *float32           `json:"presence_penalty"`
	FrequencyPenalty *float32           `json:"frequency_penalty"`
	LogitBias        map[string]float32 `json:"logit_bias"`
	Seed             *int64             `json:"seed"`
	Stream           bool               `json:"stream"`
	StreamOptions    *struct {
		IncludeUsage       bool `json:"include_usage"`
		IncludeObfuscation bool `json:"include_obfuscation"` // padding against eavesdroppers: TLS is the operator's
	} `json:"stream_options"`

	TopK              *int32   `json:"top_k"`
	MinP              *float32 `json:"min_p"`
	TypicalP          *float32 `json:"typical_p"`
	RepetitionPenalty *float32 `json:"repetition_penalty"`
	MinTokens         *uint32  `json:"min_tokens"`
	StopTokenIDs      []uint32 `json:"stop_token_ids"`
	IgnoreEOS         *bool    `json:"ignore_eos"`
	SkipSpecialTokens *bool    `json:"skip_special_tokens"`
	BadWords          []string `json:"bad_words"`
	Priority          int32    `json:"priority"`
	ThinkingTokens    *uint32  `json:"thinking_token_budget"`

	// Taken and without effect: they are for the accounts, stores and caches of OpenAI.
	User             json.RawMessage `json:"user"`
	Metadata         json.RawMessage `json:"metadata"`
	Store            json.RawMessage `json:"store"`
	ServiceTier      json.RawMessage `json:"service_tier"`
	SafetyIdentifier json.RawMessage `json:"safety_identifier"`
	PromptCacheKey   json.RawMessage `json:"prompt_cache_key"`
}

// fieldNames are what those fields are called natively, as far as the names differ.
var fieldNames = map[string]string{ //nolint:gochecknoglobals // a table
	"stop.strings":                 "stop",
	"stop.token_ids":               "stop_token_ids",
	"output.skip_special_tokens":   "skip_special_tokens",
	"tokens.ids":                   "prompt",
	"chat":                         "messages",
	"chat.messages":                "messages",
	"chat.tools":                   "tools",
	"chat.tool_choice":             "tool_choice",
	"chat.template_args":           "chat_template_kwargs",
	"chat.add_generation_prompt":   "add_generation_prompt",
	"chat.continue_final_message":  "continue_final_message",
	"constraint":                   "response_format",
	"sampling.max_thinking_tokens": "thinking_token_budget",
}

// request is the native request with what the fields ask for.
func (f *samplingFields) request() (*sluicev1.GenerateRequest, *problem) {
	sampling := &sluicev1.Sampling{
		MaxTokens:         f.MaxTokens,
		MinTokens:         f.MinTokens,
		Temperature:       f.Temperature,
		TopP:              f.TopP,
		MinP:              f.MinP,
		TypicalP:          f.TypicalP,
		RepetitionPenalty: f.RepetitionPenalty,
		PresencePenalty:   f.PresencePenalty,
		FrequencyPenalty:  f.FrequencyPenalty,
		BadWords:          f.BadWords,
		N:                 f.N,
		IgnoreEos:         f.IgnoreEOS,
		MaxThinkingTokens: f.ThinkingTokens,
	}
	if f.Seed != nil {
		sampling.Seed = new(uint64(*f.Seed)) //nolint:gosec // any 64 bits are a seed
	}
	switch {
	case f.TopK == nil:
	case *f.TopK == -1: // vLLM's way to say all
		sampling.TopK = new(uint32(0))
	case *f.TopK < 0:
		return nil, invalid("top_k", "must be at least 0, or -1 for all")
	default:
		sampling.TopK = new(uint32(*f.TopK))
	}
	for _, key := range slices.Sorted(maps.Keys(f.LogitBias)) {
		id, err := strconv.ParseUint(key, 10, 32)
		if err != nil {
			return nil, invalid("logit_bias", "must have token ids as its keys")
		}
		if sampling.LogitBias == nil {
			sampling.LogitBias = map[uint32]float32{}
		}
		sampling.LogitBias[uint32(id)] = f.LogitBias[key]
	}
	if f.StreamOptions != nil && !f.Stream {
		return nil, invalid("stream_options", "is only for stream: true")
	}
	return &sluicev1.GenerateRequest{
		Model:    f.Model,
		Sampling: sampling,
		Stop:     &sluicev1.Stop{Strings: f.Stop, TokenIds: f.StopTokenIDs},
		Output:   &sluicev1.OutputOptions{SkipSpecialTokens: f.SkipSpecialTokens},
		Priority: f.Priority,
	}, nil
}

// wantsUsage says whether a stream is to end with what it used.
func (f *samplingFields) wantsUsage() bool {
	return f.StreamOptions != nil && f.StreamOptions.IncludeUsage
}

// stopList is a string or some.
type stopList []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *stopList) UnmarshalJSON(text []byte) error {
	var one *string
	if json.Unmarshal(text, &one) == nil {
		if one != nil {
			*l = stopList{*one}
		}
		return nil
	}
	var some []string
	if json.Unmarshal(text, &some) != nil {
		return invalid("stop", "must be a string or an array of strings")
	}
	*l = some
	return nil
}

// usage is what a request used, as OpenAI's API counts it.
type usage struct {
	PromptTokens     uint32        `json:"prompt_tokens"`
	CompletionTokens uint32        `json:"completion_tokens"`
	TotalTokens      uint32        `json:"total_tokens"`
	Details          promptDetails `json:"prompt_tokens_details"`
	Output           outputDetails `json:"completion_tokens_details"`
}

type outputDetails struct {
	ReasoningTokens uint32 `json:"reasoning_tokens"`
}

type promptDetails struct {
	CachedTokens uint32 `json:"cached_tokens"`
}

func (u *usage) add(native *sluicev1.Usage) {
	u.PromptTokens += native.GetPromptTokens()
	u.CompletionTokens += native.GetCompletionTokens()
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	u.Details.CachedTokens += native.GetCachedTokens()
	u.Output.ReasoningTokens += native.GetReasoningTokens()
}

// finishReason names why an output ended.
func finishReason(reason sluicev1.FinishReason) string {
	switch reason {
	case sluicev1.FinishReason_FINISH_REASON_LENGTH:
		return "length"
	case sluicev1.FinishReason_FINISH_REASON_TOOL_CALL:
		return "tool_calls"
	default:
		return "stop"
	}
}

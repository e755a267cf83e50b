package vllm

import (
	"math"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	vllmpb "github.com/sluiceml/sluice/proto/vllm"
)

// defaultTokens is max_new_tokens of a request that does not say, as the protocol has it.
const defaultTokens = 20

// convert makes the native request. The error is an *inference.InvalidError.
func convert(in *vllmpb.GenerateRequest) (*sluicev1.GenerateRequest, error) {
	if err := unsupported(in); err != nil {
		return nil, err
	}
	out := &sluicev1.GenerateRequest{
		Model: in.GetModel(), RequestId: in.GetRequestId(),
		Sampling: sampling(in), Stop: &sluicev1.Stop{
			Strings: in.GetStopping().GetStopStrings(), TokenIds: in.GetStopping().GetStopTokenIds(),
			IncludeInOutput: in.GetStopping().GetIncludeStopStrings(),
		},
		Cache: &sluicev1.CacheOptions{Bypass: in.GetKv().GetBypassPrefixCache(), Salt: in.GetKv().GetCacheSalt()},
		// vLLM serves lower numbers sooner.
		Priority: -max(in.GetPriority(), -math.MaxInt32),
	}
	switch prompt := in.GetPrompt().(type) {
	case *vllmpb.GenerateRequest_Text:
		out.Input = &sluicev1.GenerateRequest_Prompt{Prompt: prompt.Text}
	case *vllmpb.GenerateRequest_TokenIds:
		out.Input = &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: prompt.TokenIds.GetIds()}}
	}
	if n := in.GetTruncatePromptTokens(); n > 0 {
		out.TruncatePromptTokens = &n
	}
	out.Constraint = constraint(in.GetDecoding())
	out.Output = outputOptions(in.GetResponse())
	return out, nil
}

// unsupported finds what the native API has nothing for.
func unsupported(in *vllmpb.GenerateRequest) error {
	for _, c := range []struct {
		field string
		asked bool
	}{
		{"response.prompt_token_ids", in.GetResponse().GetPromptTokenIds() && !in.GetResponse().GetPromptLogprobs()},
		{"response.prompt_candidates", notTop(in.GetResponse().GetPromptCandidates())},
		{"response.output_candidates", notTop(in.GetResponse().GetOutputCandidates())},
		{"decoding.structural_tag", in.GetDecoding().GetStructuralTag() != ""},
		{"kv.kv_transfer_params", in.GetKv().GetKvTransferParams() != nil},
		{"kv.ec_transfer_params", in.GetKv().GetEcTransferParams() != nil},
	} {
		if c.asked {
			return inference.Invalid(c.field, "is not supported")
		}
	}
	return nil
}

func notTop(in *vllmpb.CandidateTokens) bool {
	_, top := in.GetSelect().(*vllmpb.CandidateTokens_TopN)
	return in.GetSelect() != nil && !top
}

func sampling(in *vllmpb.GenerateRequest) *sluicev1.Sampling {
	random, decoding, stopping := in.GetSampling(), in.GetDecoding(), in.GetStopping()
	out := &sluicev1.Sampling{
		Temperature:       in.Temperature,
		N:                 set(random.GetNumSequences()),
		TopK:              set(random.GetTopK()),
		TopP:              set(random.GetTopP()),
		MinP:              set(random.GetMinP()),
		PresencePenalty:   set(decoding.GetPresencePenalty()),
		FrequencyPenalty:  set(decoding.GetFrequencyPenalty()),
		RepetitionPenalty: set(decoding.GetRepetitionPenalty()),
		LogitBias:         decoding.GetLogitBias(),
		AllowedTokenIds:   decoding.GetAllowedTokenIds(),
		MaxTokens:         set(stopping.GetMaxNewTokens()),
		MinTokens:         set(stopping.GetMinNewTokens()),
		IgnoreEos:         set(stopping.GetIgnoreEos()),
	}
	if out.MaxTokens == nil {
		out.MaxTokens = new(uint32(defaultTokens))
	}
	if random != nil && random.Seed != nil {
		out.Seed = new(uint64(random.GetSeed())) //nolint:gosec // any 64 bits are a seed
	}
	return out
}

// set is a value that is set unless it is zero, as the protocol has it.
func set[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

func constraint(in *vllmpb.DecodingParameters) *sluicev1.Constraint {
	switch kind := in.GetStructuredOutput().(type) {
	case *vllmpb.DecodingParameters_Json:
		return &sluicev1.Constraint{Kind: &sluicev1.Constraint_JsonSchema{JsonSchema: kind.Json}}
	case *vllmpb.DecodingParameters_Regex:
		return &sluicev1.Constraint{Kind: &sluicev1.Constraint_Regex{Regex: kind.Regex}}
	case *vllmpb.DecodingParameters_Grammar:
		return &sluicev1.Constraint{Kind: &sluicev1.Constraint_Grammar{Grammar: kind.Grammar}}
	case *vllmpb.DecodingParameters_JsonObject:
		if kind.JsonObject {
			return &sluicev1.Constraint{Kind: &sluicev1.Constraint_JsonObject{JsonObject: true}}
		}
	case *vllmpb.DecodingParameters_Choice:
		return &sluicev1.Constraint{Kind: &sluicev1.Constraint_Choice{Choice: &sluicev1.Choice{Choices: kind.Choice.GetChoices()}}}
	}
	return nil
}

func outputOptions(in *vllmpb.ResponseOptions) *sluicev1.OutputOptions {
	out := &sluicev1.OutputOptions{TokenIds: true} // each piece says how many tokens it has
	if in.GetOutputLogprobs() || in.GetOutputCandidates() != nil {
		out.Logprobs = new(in.GetOutputCandidates().GetTopN())
	}
	if in.GetPromptLogprobs() || in.GetPromptCandidates() != nil {
		out.PromptLogprobs = new(in.GetPromptCandidates().GetTopN())
	}
	if in != nil {
		out.SkipSpecialTokens = in.SkipSpecialTokens
	}
	return out
}

package server

import (
	"cmp"
	"context"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/server/auth"
)

// bytesPerToken is what a token of a text is taken to have before it is encoded: about what prose in English has.
const bytesPerToken = 4

// claim makes a request its caller's: of the caller's tenant, apart from other tenants' prompts, and with its tokens
// taken from the caller's quota, as far as they can be foreseen. The reservation must be settled. The error is an
// *auth.QuotaError.
func claim(ctx context.Context, request *inference.Request, defaults inference.Defaults) (auth.Reservation, error) {
	caller := auth.FromContext(ctx)
	request.Tenant = caller.Tenant()
	salt(&request.Cache, request.Tenant)
	return caller.ReserveTokens(ctx, expectedTokens(request, defaults))
}

// salt keeps a tenant's prompts apart in the prefix cache: one that another tenant has sent would be answered sooner,
// which tells what it was. No tenant's name has a zero byte, so that no salt of one spells that of another.
func salt(cache *inference.Cache, tenant string) {
	if tenant != "" {
		cache.Salt = tenant + "\x00" + cache.Salt
	}
}

// expectedTokens is what a request costs if its outputs take all that they may. The prompt of a text is an estimate:
// encoding it is what a spent quota is to save.
func expectedTokens(request *inference.Request, defaults inference.Defaults) int {
	prompt := promptTokens(request.Input)
	if request.TruncatePrompt > 0 {
		prompt = min(prompt, request.TruncatePrompt)
	}
	output := cmp.Or(request.Sampling.MaxTokens, defaults.Sampling.MaxTokens)
	return prompt + max(1, request.Sampling.N)*output
}

// promptTokens is an estimate of the tokens of an input.
func promptTokens(input inference.Input) int {
	prompt := 0
	switch input := input.(type) {
	case inference.Prompt:
		prompt = len(input.Text)/bytesPerToken + 1
	case inference.Tokens:
		prompt = len(input)
	case inference.Chat:
		for _, message := range input.Messages {
			prompt += (len(message.Content)+len(message.Reasoning))/bytesPerToken + 1
			for _, call := range message.ToolCalls {
				prompt += (len(call.Name)+len(call.Arguments))/bytesPerToken + 1
			}
		}
		for _, tool := range input.Tools {
			prompt += (len(tool.Name)+len(tool.Description)+len(tool.Parameters))/bytesPerToken + 1
		}
	}
	return prompt
}

package server

import (
	"context"
	"fmt"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/auth"
)

// Score computes how likely continuations of an input are.
func (s *inferenceService) Score(ctx context.Context, in *sluicev1.ScoreRequest) (*sluicev1.ScoreResponse, error) {
	return onModel(ctx, s, in.GetModel(), func(model *inference.Model, arrival time.Time) (*sluicev1.ScoreResponse, error) {
		request, err := limitsOf(model).scoreRequest(in, arrival, s.draw)
		if err != nil {
			return nil, err
		}
		owner := caller{id: request.ID, tenant: &request.Tenant, cache: &request.Cache}
		quota, err := owner.reserve(ctx, scoreTokens(&request))
		if err != nil {
			return nil, fmt.Errorf("score: %w", err)
		}
		scores, summary, err := model.Score(ctx, request)
		settle(ctx, quota, summary)
		if err != nil {
			return nil, fmt.Errorf("score: %w", err)
		}
		out := &sluicev1.ScoreResponse{
			Id: request.ID, Model: model.Name(), Usage: usage(summary.Usage), Timings: timings(summary.Timings),
			Scores: make([]*sluicev1.ContinuationScore, len(scores)),
		}
		for i, score := range scores {
			out.Scores[i] = &sluicev1.ContinuationScore{
				LogLikelihood: score.LogLikelihood, Tokens: count(score.Tokens), IsGreedy: score.Greedy,
				Logprobs: tokenLogprobs(score.Logprobs),
			}
		}
		return out, nil
	})
}

// Explain computes how much each segment of an input moves the probability of an answer.
func (s *inferenceService) Explain(ctx context.Context, in *sluicev1.ExplainRequest) (*sluicev1.ExplainResponse, error) {
	return onModel(ctx, s, in.GetModel(), func(model *inference.Model, arrival time.Time) (*sluicev1.ExplainResponse, error) {
		request, err := limitsOf(model).explainRequest(in, arrival, s.draw)
		if err != nil {
			return nil, err
		}
		owner := caller{id: request.ID, tenant: &request.Tenant, cache: &request.Cache}
		quota, err := owner.reserve(ctx, (1+request.Segments())*(promptTokens(request.Input)+len(request.Answer)/bytesPerToken))
		if err != nil {
			return nil, fmt.Errorf("explain: %w", err)
		}
		explanation, summary, err := model.Explain(ctx, request)
		settle(ctx, quota, summary)
		if err != nil {
			return nil, fmt.Errorf("explain: %w", err)
		}
		out := &sluicev1.ExplainResponse{
			Id: request.ID, Model: model.Name(), Usage: usage(summary.Usage), Timings: timings(summary.Timings),
			LogLikelihood: explanation.LogLikelihood, AnswerTokens: count(explanation.AnswerTokens),
			Attributions: make([]*sluicev1.Attribution, len(explanation.Segments)),
		}
		for i, segment := range explanation.Segments {
			out.Attributions[i] = &sluicev1.Attribution{
				Message: count(segment.Message), Start: count(segment.Start), End: count(segment.End),
				Effect: explanation.LogLikelihood - segment.LogLikelihood,
			}
		}
		return out, nil
	})
}

// onModel runs a call on the model of a name. If that is replaced at the moment, the call goes to the one that the name
// leads to by now.
func onModel[T any](
	ctx context.Context, s *inferenceService, name string, run func(*inference.Model, time.Time) (T, error),
) (T, error) {
	arrival := s.now()
	for {
		model, err := findModel(ctx, s.models, name)
		if err != nil {
			var none T
			return none, err
		}
		logging.AddFields(ctx, logging.Fields{"model", model.Name()})
		out, err := run(model, arrival)
		if !leadsElsewhere(s.models, name, model, err) {
			return out, err
		}
	}
}

// caller is what of a request becomes its caller's.
type caller struct {
	id     string
	tenant *string
	cache  *inference.Cache
}

// reserve makes a request its caller's and takes tokens from the caller's quota.
func (c caller) reserve(ctx context.Context, tokens int) (auth.Reservation, error) {
	logging.AddFields(ctx, logging.Fields{"request_id", c.id})
	principal := auth.FromContext(ctx)
	*c.tenant = principal.Tenant()
	salt(c.cache, *c.tenant)
	return principal.ReserveTokens(ctx, tokens)
}

// settle charges a finished request for what it was, and has the call's line say so.
func settle(ctx context.Context, quota auth.Reservation, summary inference.Summary) {
	quota.Settle(summary.Usage.PromptTokens)
	logging.AddFields(ctx, logging.Fields{
		"prompt_tokens", summary.Usage.PromptTokens, "cached_tokens", summary.Usage.CachedTokens,
		"queue", summary.Timings.Queue,
	})
}

// scoreTokens is an estimate of what a request runs.
func scoreTokens(request *inference.ScoreRequest) int {
	n := len(request.Continuations) * promptTokens(request.Input)
	for _, text := range request.Continuations {
		n += len(text)/bytesPerToken + 1
	}
	return n
}

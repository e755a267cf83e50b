package server

import (
	"context"
	"fmt"
	"time"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// Embed computes a vector for each of several inputs.
func (s *inferenceService) Embed(ctx context.Context, in *sluicev1.EmbedRequest) (*sluicev1.EmbedResponse, error) {
	return onModel(ctx, s, in.GetModel(), func(model *inference.Model, arrival time.Time) (*sluicev1.EmbedResponse, error) {
		request, err := limitsOf(model).embedRequest(in, arrival, s.draw)
		if err != nil {
			return nil, err
		}
		owner := caller{id: request.ID, tenant: &request.Tenant, cache: &request.Cache}
		tokens := 0
		for _, input := range request.Inputs {
			tokens += promptTokens(input)
		}
		quota, err := owner.reserve(ctx, tokens)
		if err != nil {
			return nil, fmt.Errorf("embed: %w", err)
		}
		if request.Pooling == inference.PoolingDefault {
			request.Pooling = model.Pooling()
		}
		embeddings, summary, err := model.Embed(ctx, request)
		settle(ctx, quota, summary)
		if err != nil {
			return nil, fmt.Errorf("embed: %w", err)
		}
		out := &sluicev1.EmbedResponse{
			Id: request.ID, Model: model.Name(), Usage: usage(summary.Usage), Timings: timings(summary.Timings),
			Pooling: poolingOf(request.Pooling), Embeddings: make([]*sluicev1.Embedding, len(embeddings)),
		}
		for i, e := range embeddings {
			out.Embeddings[i] = &sluicev1.Embedding{Values: e.Vector, Tokens: count(e.Tokens)}
		}
		return out, nil
	})
}

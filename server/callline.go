package server

import (
	"context"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
)

// describe adds to the line of the finished call what the request had by then: tokens and times, and none of its text.
func (r running) describe(ctx context.Context) {
	s := r.updates.Summary()
	logging.AddFields(ctx, logging.Fields{
		"prompt_tokens", s.Usage.PromptTokens,
		"cached_tokens", s.Usage.CachedTokens,
		"completion_tokens", s.Usage.CompletionTokens,
		"queue", s.Timings.Queue,
		"time_to_first_token", s.Timings.TimeToFirstToken,
		"decode", s.Timings.Decode,
	})
}

package inference

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/semconv"
)

// Stream is what a running request gives: its outputs. It is not safe for concurrent use.
type Stream struct {
	outputs *engine.Group
	account *account
	seed    uint64
	echo    []string         // the prompt's text for each output, until it has been given
	parsers []*answer.Parser // of each output; nil: the text is given as the model writes it
	entropy bool             // of each position
	reasons []FinishReason   // of each output, 0 until it has ended
	done    bool
}

// Next returns what became of an output since the last call, waiting for it if there is nothing yet; several outputs take
// turns. After the last update of the last output it returns io.EOF. Other errors end the request: ctx's own, *ExpiredError,
// *SlowReaderError, *InvalidError where the sampling leaves no token or the constraint takes too much to follow,
// *UnavailableError when the server stopped, and whatever broke the engine.
func (s *Stream) Next(ctx context.Context) (Update, error) {
	if s.done {
		return Update{}, io.EOF
	}
	index, update, err := s.next(ctx)
	switch {
	case errors.Is(err, io.EOF):
		s.finish(ctx, nil)
		return Update{}, io.EOF
	case err != nil:
		err = fromEngine(err)
		s.outputs.Close()
		s.finish(ctx, err)
		return Update{}, err
	}
	result := Update{
		Index:    index,
		Text:     update.Text,
		TokenIDs: update.TokenIDs,
		Logprobs: s.account.model.logprobs(update.Logprobs, s.entropy),
		Prompt:   s.account.model.logprobs(update.Prompt, s.entropy),
		Traces:   s.account.model.traces(update.Traces),
	}
	s.parse(&result, update.Finish != nil)
	result.Text = s.echo[index] + result.Text
	s.echo[index] = ""
	s.account.content.add(result)
	if update.Finish != nil {
		s.reasons[index] = s.finishReason(index, update.Finish.Reason)
		result.Finish = &Finish{
			Reason: s.reasons[index], StopSequence: update.Finish.StopSequence, Seed: s.seed + uint64(index),
		}
	}
	return result, nil
}

// next is the next update of an output. A deadline that passes while the request still waits is noticed here and by the
// engine; whoever is first, the answer names the queue.
func (s *Stream) next(ctx context.Context) (int, engine.Update, error) {
	index, update, err := s.outputs.Next(ctx)
	if errors.Is(err, context.DeadlineExceeded) && !s.outputs.Started() {
		return 0, engine.Update{}, &ExpiredError{Waited: time.Since(s.outputs.Submitted())}
	}
	return index, update, err
}

// Summary is the account of the request. It is complete once Next has returned io.EOF.
func (s *Stream) Summary() Summary {
	summary := s.outputs.Summary()
	return Summary{
		Usage:   Usage(summary.Usage),
		Timings: Timings(summary.Timings),
	}
}

// Stalled is closed when the request has lost its slot because nothing of its output was taken for too long, for a
// reader that is blocked elsewhere. Next returns a *SlowReaderError then, after what came before. Unlike the other
// methods it may be called from any goroutine.
func (s *Stream) Stalled() <-chan struct{} { return s.outputs.Stalled() }

// Close cancels the request if it still runs; its slot is free within one step. It may be called at any time, also
// more than once.
func (s *Stream) Close() {
	s.outputs.Close()
	s.finish(context.Background(), context.Canceled)
}

// finish accounts for the request once.
func (s *Stream) finish(ctx context.Context, err error) {
	if !s.done {
		s.done = true
		s.account.end(ctx, s.Summary(), s.reasons, err)
	}
}

// account is what a request's span and metrics need at its end.
type account struct {
	model     *Model
	operation string
	tenant    string
	arrival   time.Time
	span      trace.Span
	content   *content // nil: no text is kept
}

// end closes the request's span and counts it.
func (a *account) end(ctx context.Context, s Summary, reasons []FinishReason, err error) {
	failure := failureType(err)
	if a.span.IsRecording() {
		a.span.SetAttributes(
			semconv.GenAIUsageInputTokens.Int(s.Usage.PromptTokens),
			semconv.GenAIUsageOutputTokens.Int(s.Usage.CompletionTokens),
			semconv.GenAIUsageCachedTokens.Int(s.Usage.CachedTokens),
		)
		var names []string
		for _, reason := range reasons {
			if reason != 0 {
				names = append(names, reason.String())
			}
		}
		if names != nil {
			a.span.SetAttributes(semconv.GenAIResponseFinishReasons.StringSlice(names))
		}
		a.content.end(a.span, reasons)
		if failure != "" {
			a.span.SetAttributes(semconv.ErrorType.String(failure))
			a.span.SetStatus(codes.Error, failure)
		}
	}
	a.span.End()
	a.model.metrics.record(trace.ContextWithSpan(ctx, a.span), a.operation, a.tenant, failure, time.Since(a.arrival), s)
}

// fromEngine turns the engine's errors into this package's.
func fromEngine(err error) error {
	var (
		full    *engine.QueueFullError
		late    *engine.TooLateError
		expired *engine.ExpiredError
		none    *engine.ExcludedError
		many    *engine.AmbiguousError
	)
	switch {
	case errors.As(err, &none):
		return Invalid("sampling", "it leaves no token to draw for token %d of the output: allowed_token_ids, bad_words, no_repeat_ngram_size and min_tokens exclude all, or all that the constraint allows", none.Token)
	case errors.As(err, &many):
		return Invalid("constraint", "it takes too much to follow at token %d of the output: it can be read in too many ways at once, or has too many states to find what may come next", many.Token)
	case errors.As(err, &full):
		return &QueueFullError{Limit: full.Limit, Of: string(full.Of), RetryAfter: full.RetryAfter}
	case errors.As(err, &late):
		return &TooLateError{Need: late.Need, Left: late.Left}
	case errors.As(err, &expired):
		return &ExpiredError{Waited: expired.Waited}
	case errors.Is(err, engine.ErrDraining):
		return &UnavailableError{Reason: ReasonDraining, RetryAfter: retryAfter}
	case errors.Is(err, engine.ErrStopped):
		return &UnavailableError{Reason: ReasonDraining, RetryAfter: retryAfter}
	case errors.Is(err, engine.ErrSlowReader):
		return &SlowReaderError{}
	}
	return err
}

// finishReason turns the engine's reason into this package's.
func finishReason(reason engine.FinishReason) FinishReason {
	switch reason {
	case engine.FinishStop:
		return FinishStop
	case engine.FinishStopSequence:
		return FinishStopSequence
	case engine.FinishLength:
		return FinishLength
	}
	panic(fmt.Sprintf("inference: unknown finish reason %d", reason))
}

// failureType names an error for spans and metrics: few values, and no text of the request.
func failureType(err error) string {
	var (
		invalid     *InvalidError
		full        *QueueFullError
		unavailable *UnavailableError
		expired     *ExpiredError
		late        *TooLateError
		slow        *SlowReaderError
		none        *NoEmbeddingsError
	)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &expired), errors.As(err, &late):
		return "deadline_exceeded"
	case errors.As(err, &invalid):
		return "invalid_argument"
	case errors.As(err, &none):
		return "failed_precondition"
	case errors.As(err, &full):
		return "queue_full"
	case errors.As(err, &unavailable):
		return "unavailable"
	case errors.As(err, &slow):
		return "slow_reader"
	}
	return "internal"
}

// String is the reason as the GenAI conventions write it.
func (r FinishReason) String() string {
	switch r {
	case FinishStop:
		return "stop"
	case FinishStopSequence:
		return "stop_sequence"
	case FinishLength:
		return "length"
	case FinishToolCall:
		return "tool_call"
	}
	return fmt.Sprintf("FinishReason(%d)", int(r))
}

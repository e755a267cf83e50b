package inference

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/sampling"
	"github.com/sluiceml/sluice/inference/semconv"
	"github.com/sluiceml/sluice/tokenizer"
)

// ScoreRequest asks how likely continuations of one input are.
type ScoreRequest struct {
	ID       string
	Tenant   string
	Priority int
	Input    Input
	// Continuations are texts that may follow the input, none empty. Special tokens in them stay text, but for those of a
	// Prompt that parses them.
	Continuations []string
	Logprobs      Logprobs // of the continuations' tokens
	Cache         Cache
	Arrival       time.Time
}

// maxScoreLogprobs bounds the log-probabilities of one answer, those of the most likely tokens included: some ten megabytes.
const maxScoreLogprobs = 1 << 18

// Score is how likely a continuation is.
type Score struct {
	LogLikelihood float64 // the sum of its tokens' log-probabilities
	Tokens        int
	Greedy        bool            // each of its tokens is the most likely one
	Logprobs      []TokenLogprobs // if ScoreRequest.Logprobs asked for them
}

// Score computes how likely continuations are, in the order of the request. The input is computed once, where the prefix
// cache can hold it. Errors are those of Generate and of Stream.Next.
func (m *Model) Score(ctx context.Context, request ScoreRequest) ([]Score, Summary, error) {
	return accounted(ctx, m, semconv.OperationScore, &request, func(ctx context.Context) ([]Score, Summary, error) {
		before, err := m.scoreContext(ctx, request.Input)
		if err != nil {
			return nil, Summary{}, err
		}
		texts, logprobs := make([]scored, len(request.Continuations)), 0
		for i, continuation := range request.Continuations {
			if texts[i], err = before.with(ctx, continuation); err != nil {
				return nil, Summary{}, err
			}
			logprobs += (len(texts[i].ids) - texts[i].from) * (1 + request.Logprobs.Top)
			if request.Logprobs.Wanted && logprobs > maxScoreLogprobs {
				return nil, Summary{}, Invalid("logprobs", "the first %d of the %d continuations have %d of them, and an answer holds at most %d",
					i+1, len(texts), logprobs, maxScoreLogprobs)
			}
		}
		return m.likelihoods(ctx, &request, texts)
	})
}

// accounted runs what a request asks for in a span of its own, and counts it.
func accounted[T any](
	ctx context.Context, m *Model, operation string, request *ScoreRequest, run func(context.Context) (T, Summary, error),
) (T, Summary, error) {
	ctx, span := m.tracer.Start(ctx, operation+" "+m.config.Name, trace.WithTimestamp(request.Arrival))
	call := &account{model: m, operation: operation, tenant: request.Tenant, arrival: request.Arrival, span: span}
	if span.IsRecording() {
		span.SetAttributes(
			semconv.GenAIOperationName.String(operation),
			semconv.GenAIProviderName.String(semconv.Provider),
			semconv.GenAIRequestModel.String(m.config.Name),
			semconv.GenAIResponseID.String(request.ID),
			semconv.GenAIResponseModel.String(m.config.Name),
		)
	}
	result, summary, err := run(ctx)
	call.end(ctx, summary, nil, err)
	return result, summary, err
}

// scored is a prompt of which the tokens from one on are scored.
type scored struct {
	ids  []uint32
	from int // at least 1: a first token has no probability
}

// likelihoods scores the texts in one batch. Each must fit the model's context.
func (m *Model) likelihoods(ctx context.Context, request *ScoreRequest, texts []scored) ([]Score, Summary, error) {
	batch := make([]engine.Request, len(texts))
	for i, text := range texts {
		if text.from < 1 {
			return nil, Summary{}, Invalid(field(request.Input), "it has no tokens before the text that is scored")
		}
		batch[i] = engine.Request{
			ID: request.ID, Prompt: text.ids, MaxTokens: 1, Sampling: sampling.Greedy(), IgnoreEOS: true,
			PromptLogprobs: engine.Logprobs{Wanted: true, Top: request.Logprobs.Top, Entropy: request.Logprobs.Entropy},
			ScoreFrom:      text.from, Cache: engine.Cache(request.Cache),
			Tenant: request.Tenant, Priority: request.Priority, Arrival: request.Arrival,
		}
	}
	outputs, err := m.submitBatch(ctx, request, batch)
	if err != nil {
		return nil, Summary{}, err
	}
	defer outputs.Close()
	scores := make([]Score, len(texts))
	for i := range scores {
		scores[i].Greedy = true
	}
	for {
		i, update, err := outputs.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return scores, scoreSummary(outputs.Summary()), nil
		case err != nil:
			return nil, scoreSummary(outputs.Summary()), fromEngine(err)
		}
		scores[i].add(m, update.Prompt, request.Logprobs)
	}
}

// scoreSummary is the account of a batch, of which nothing was generated but the tokens that the engine insists on.
func scoreSummary(s engine.Summary) Summary {
	summary := Summary{Usage: Usage(s.Usage), Timings: Timings(s.Timings)}
	summary.Usage.CompletionTokens = 0
	return summary
}

// add counts further tokens.
func (s *Score) add(m *Model, tokens []engine.TokenLogprobs, wanted Logprobs) {
	for _, position := range tokens {
		s.LogLikelihood += float64(position.Token.Value)
		s.Tokens++
		s.Greedy = s.Greedy && position.Token.Rank == 1
	}
	if wanted.Wanted {
		s.Logprobs = append(s.Logprobs, m.logprobs(tokens, wanted.Entropy)...)
	}
}

// submitBatch gives a batch to the replica that probably holds most of what its prompts begin with.
func (m *Model) submitBatch(ctx context.Context, request *ScoreRequest, batch []engine.Request) (*engine.Group, error) {
	for {
		e := m.pool.pickFor(request.Cache.Salt, batch[0].Prompt)
		if e == nil {
			return nil, &UnavailableError{Reason: ReasonFailed, RetryAfter: retryAfter}
		}
		outputs, err := e.SubmitBatch(ctx, batch)
		if err == nil || !m.failed(e, err) {
			return outputs, fromEngine(err)
		}
	}
}

// scoreContext is what comes before a text that is scored: tokens, and the text that they were made of, since what follows
// may join with the end of it.
type scoreContext struct {
	model   *Model
	field   string // of the request
	ids     []uint32
	text    string // "" for Tokens
	options tokenizer.EncodeOptions
	literal bool // what follows stays text
}

// scoreContext makes the context of an input. One that is too long by itself is refused, before anything is put behind it.
func (m *Model) scoreContext(ctx context.Context, input Input) (scoreContext, error) {
	if err := m.available(); err != nil {
		return scoreContext{}, err
	}
	c := scoreContext{model: m, field: field(input), literal: true}
	switch input := input.(type) {
	case Tokens:
		c.ids = input
		return c, c.fits("", len(input))
	case Prompt:
		c.text, c.options.AddSpecialTokens = input.Text, true
		c.literal = !input.ParseSpecial
		if c.literal {
			c.options.Special = tokenizer.SpecialAsText
		}
	case Chat:
		if err := m.turns.take(ctx); err != nil {
			return c, err
		}
		rendered, err := m.renderChat(input)
		m.turns.give()
		if err != nil {
			return c, err
		}
		c.text, c.options.Literal = rendered.Text, literal(rendered)
	}
	var err error
	if c.ids, err = c.encode(ctx, c.text, c.options); err != nil {
		return c, err
	}
	return c, c.fits("", len(c.ids))
}

// encode encodes a text in its turn, unless its beginning is too long.
func (c scoreContext) encode(ctx context.Context, text string, options tokenizer.EncodeOptions) ([]uint32, error) {
	if err := c.model.turns.take(ctx); err != nil {
		return nil, err
	}
	defer c.model.turns.give()
	if err := c.model.hopeless(c.field, text, options); err != nil {
		return nil, err
	}
	return c.model.config.Tokenizer.Encode(text, options)
}

// fits refuses so many tokens if the model's context cannot hold them and one more. what says which they are.
func (c scoreContext) fits(what string, tokens int) error {
	if limit := c.model.config.ContextLength; tokens >= limit {
		return Invalid(c.field, "%sit has %d tokens, and the model's context of %d must hold one more", what, tokens, limit)
	}
	return nil
}

// behind puts tokens behind the context.
func (c scoreContext) behind(ids []uint32) (scored, error) {
	return scored{ids: slices.Concat(c.ids, ids), from: len(c.ids)}, c.fits(withScored, len(c.ids)+len(ids))
}

// withScored says which tokens do not fit.
const withScored = "with the text that is scored "

// with puts a text behind the context. Its tokens are those of both together, from the first on that is not the context's.
func (c scoreContext) with(ctx context.Context, text string) (scored, error) {
	if c.text == "" {
		ids, err := c.encode(ctx, text, tokenizer.EncodeOptions{Special: tokenizer.SpecialAsText})
		if err != nil {
			return scored{}, err
		}
		return c.behind(ids)
	}
	options := c.options
	if c.literal && options.Special != tokenizer.SpecialAsText {
		options.Literal = append(slices.Clip(options.Literal), tokenizer.Range{Start: len(c.text), End: len(c.text) + len(text)})
	}
	ids, err := c.encode(ctx, c.text+text, options)
	if err != nil {
		return scored{}, err
	}
	from := 0
	for from < len(c.ids) && from < len(ids)-1 && c.ids[from] == ids[from] {
		from++
	}
	return scored{ids: ids, from: from}, c.fits(withScored, len(ids))
}

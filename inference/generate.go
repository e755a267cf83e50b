package inference

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/semconv"
	"github.com/sluiceml/sluice/tokenizer"
)

// Generate admits a request and returns the stream of its output, which the caller must read to its end or close. The
// end of ctx cancels the request. Errors: *InvalidError for an input that does not fit, *QueueFullError,
// *UnavailableError; those of the running request come from Stream.Next.
func (m *Model) Generate(ctx context.Context, request Request) (*Stream, error) {
	operation := semconv.OperationTextCompletion
	if _, ok := request.Input.(Chat); ok {
		operation = semconv.OperationChat
	}
	ctx, span := m.tracer.Start(ctx, operation+" "+m.config.Name, trace.WithTimestamp(request.Arrival))
	call := &account{model: m, operation: operation, tenant: request.Tenant, arrival: request.Arrival, span: span}
	if span.IsRecording() {
		span.SetAttributes(m.requestAttributes(operation, &request)...)
		call.content = m.keepContent(span, &request)
	}
	stream, err := m.admit(ctx, &request, call)
	if err != nil {
		call.end(ctx, Summary{}, nil, err)
		return nil, err
	}
	return stream, nil
}

// admit does the cheap checks first, so that a request that will be refused costs little.
func (m *Model) admit(ctx context.Context, request *Request, call *account) (*Stream, error) {
	if err := m.available(); err != nil {
		return nil, err
	}
	if e := m.pool.pick(); e != nil {
		if err := e.Refusal(request.Tenant, request.Priority); err != nil && !m.failed(e, err) {
			return nil, fromEngine(err)
		}
	}
	input, err := m.prompt(ctx, request)
	if err != nil {
		return nil, err
	}
	prompt := input.ids
	maxTokens, err := m.maxTokens(len(prompt), request)
	if err != nil {
		return nil, err
	}
	params, err := m.params(ctx, maxTokens, &request.Sampling)
	if err != nil {
		return nil, err
	}
	conform, err := m.callConstraint(request)
	if err != nil {
		return nil, err
	}
	constraint, err := m.grammars.get(ctx, conform)
	if err != nil {
		return nil, err
	}
	n := max(1, request.Sampling.N)
	reasoning, err := m.reasoning(request, input.reasons)
	if err != nil {
		return nil, err
	}
	parsers := m.parsers(n, request, input.reasons)
	decoders, echo := m.decoders(n, request, prompt)
	outputs, err := m.submit(ctx, request, prompt, engine.Request{
		ID:             request.ID,
		Prompt:         prompt,
		MaxTokens:      maxTokens,
		Sampling:       params,
		Stop:           engine.Stop(request.Stop),
		EOS:            m.config.EOSTokenIDs,
		IgnoreEOS:      request.Sampling.IgnoreEOS,
		NewReasoning:   reasoning,
		Grammar:        constraint,
		TokenText:      m.tokenText,
		WantTokenIDs:   request.Output.TokenIDs,
		Logprobs:       engine.Logprobs(request.Output.Logprobs),
		PromptLogprobs: engine.Logprobs(request.Output.PromptLogprobs),
		Trace:          request.Output.Trace,
		Cache:          engine.Cache(request.Cache),
		Tenant:         request.Tenant,
		Priority:       request.Priority,
		Arrival:        request.Arrival,
	}, decoders)
	if err != nil {
		return nil, err
	}
	return &Stream{
		outputs: outputs, account: call, seed: request.Sampling.Seed, echo: echo, parsers: parsers, entropy: request.Output.Logprobs.Entropy, reasons: make([]FinishReason, n),
	}, nil
}

// submit gives a request to a replica, and to another one if that turns out to have failed.
func (m *Model) submit(
	ctx context.Context, request *Request, prompt []uint32, r engine.Request, decoders []engine.Decoder,
) (*engine.Group, error) {
	for {
		var e *engine.Engine
		if request.Cache.Bypass || request.Output.PromptLogprobs.Wanted { // which leave the prefix cache aside
			e = m.pool.pick()
		} else {
			e = m.pool.pickFor(request.Cache.Salt, prompt)
		}
		if e == nil {
			return nil, &UnavailableError{Reason: ReasonFailed, RetryAfter: retryAfter}
		}
		outputs, err := e.SubmitGroup(ctx, r, decoders)
		if err == nil || !m.failed(e, err) {
			return outputs, fromEngine(err)
		}
	}
}

// failed says whether an engine refused a request because it has failed, and routes around it then.
func (m *Model) failed(e *engine.Engine, err error) bool {
	if _, failed := errors.AsType[*engine.FailedError](err); !failed {
		return false
	}
	m.pool.lost(e)
	return true
}

// decoders are those of n outputs, and the text that each begins with. With echo, an output goes on in the decoder that
// has read the prompt.
func (m *Model) decoders(n int, request *Request, prompt []uint32) (decoders []engine.Decoder, echo []string) {
	decoders, echo = make([]engine.Decoder, n), make([]string, n)
	for i := range n {
		decoder := m.decoder(request)
		if request.Output.Echo {
			echo[i] = decodeAll(decoder, prompt)
		}
		decoders[i] = decoder
	}
	return decoders, echo
}

// prompt is what a request continues.
type prompt struct {
	ids     []uint32
	reasons bool // a template has opened the model's reasoning
}

// prompt makes the prompt of a request.
func (m *Model) prompt(ctx context.Context, request *Request) (prompt, error) {
	keep := request.TruncatePrompt
	p, err := m.tokenize(ctx, request.Input, keep > 0)
	if err != nil || keep == 0 {
		return p, err
	}
	p.ids = p.ids[max(0, len(p.ids)-keep):]
	return p, nil
}

// decodeAll is the text that tokens complete; what they leave open stays in the decoder.
func decodeAll(decoder engine.Decoder, ids []uint32) string {
	var text strings.Builder
	for _, id := range ids {
		text.WriteString(decoder.Add(id))
	}
	return text.String()
}

// CountTokens counts the prompt tokens that Generate would report. Errors as those of Generate.
func (m *Model) CountTokens(ctx context.Context, input Input) (int, error) {
	p, err := m.tokenize(ctx, input, false)
	return len(p.ids), err
}

// tokenText is the text of a token that stops an output.
func (m *Model) tokenText(id uint32) string { return m.config.Tokenizer.Decode([]uint32{id}, false) }

// maxTokens settles how many tokens a request may generate.
func (m *Model) maxTokens(prompt int, request *Request) (int, error) {
	room := m.config.ContextLength - prompt
	if room < 1 {
		return 0, Invalid(field(request.Input), "it has %d tokens, and the model's context of %d must hold at least one more", prompt, m.config.ContextLength)
	}
	asked := request.Sampling.MaxTokens
	switch {
	case asked == 0:
		return min(m.config.Defaults.Sampling.MaxTokens, room), nil
	case asked > room:
		return 0, Invalid("sampling.max_tokens", "it is %d, and the prompt's %d tokens leave %d of the model's context of %d", asked, prompt, room, m.config.ContextLength)
	}
	return asked, nil
}

// field is the name of the request's field that an input came from.
func field(input Input) string {
	switch input.(type) {
	case Prompt:
		return "prompt"
	case Tokens:
		return "tokens.ids"
	case Chat:
		return "chat.messages"
	}
	panic(fmt.Sprintf("inference: unknown input %T", input))
}

// tokenize turns an input into the prompt's token ids; texts take turns. Only one that will be truncated may be longer
// than the context.
func (m *Model) tokenize(ctx context.Context, input Input, truncated bool) (p prompt, err error) {
	if tokens, ok := input.(Tokens); ok {
		return prompt{ids: tokens}, nil
	}
	if err := m.turns.take(ctx); err != nil {
		return prompt{}, err
	}
	defer m.turns.give()
	_, span := m.tracer.Start(ctx, semconv.SpanTokenize)
	defer func() {
		if span.IsRecording() {
			span.SetAttributes(semconv.Tokens.Int(len(p.ids)))
		}
		span.End()
	}()
	switch input := input.(type) {
	case Prompt:
		options := tokenizer.EncodeOptions{AddSpecialTokens: true}
		if !input.ParseSpecial {
			options.Special = tokenizer.SpecialAsText
		}
		if !truncated {
			if err := m.hopeless(field(input), input.Text, options); err != nil {
				return prompt{}, err
			}
		}
		p.ids, err = m.config.Tokenizer.Encode(input.Text, options)
	case Chat:
		p, err = m.encodeChat(input, truncated)
	}
	if err != nil {
		return prompt{}, err
	}
	if len(p.ids) == 0 {
		return prompt{}, Invalid(field(input), "it has no tokens")
	}
	return p, nil
}

// requestAttributes describes a request in its span, without any of its text.
func (m *Model) requestAttributes(operation string, request *Request) []attribute.KeyValue {
	s := &request.Sampling
	attributes := []attribute.KeyValue{
		semconv.GenAIOperationName.String(operation),
		semconv.GenAIProviderName.String(semconv.Provider),
		semconv.GenAIRequestModel.String(m.config.Name),
		semconv.GenAIRequestTemperature.Float64(float64(s.Temperature)),
		semconv.GenAIRequestTopK.Int(s.TopK),
		semconv.GenAIRequestTopP.Float64(float64(s.TopP)),
		semconv.GenAIRequestPresencePenalty.Float64(float64(s.PresencePenalty)),
		semconv.GenAIRequestFrequencyPenalty.Float64(float64(s.FrequencyPenalty)),
		semconv.GenAIResponseID.String(request.ID),
		semconv.GenAIResponseModel.String(m.config.Name),
	}
	if s.N > 1 {
		attributes = append(attributes, semconv.GenAIRequestChoiceCount.Int(s.N))
	}
	if s.MaxTokens > 0 {
		attributes = append(attributes, semconv.GenAIRequestMaxTokens.Int(s.MaxTokens))
	}
	if s.Seed <= math.MaxInt64 { // an attribute has no unsigned form, and another number would be a lie
		attributes = append(attributes, semconv.GenAIRequestSeed.Int64(int64(s.Seed)))
	}
	return attributes
}

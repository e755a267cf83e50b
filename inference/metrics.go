package inference

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluiceml/sluice/inference/semconv"
)

// maxTenants bounds the tenants that the metrics of a model tell apart, whatever the server's configuration or a
// certificate authority names; the rest is semconv.OtherTenant.
const maxTenants = 256

// metrics are the instruments of one model. They are safe for concurrent use.
type metrics struct {
	model string

	// The conventions': by operation, model and kind of failure.
	duration       metric.Float64Histogram
	firstToken     metric.Float64Histogram
	perOutputToken metric.Float64Histogram
	usage          metric.Int64Histogram // and by kind of token

	// Our own: by model.
	queue   metric.Float64Histogram
	prefill metric.Float64Histogram

	// And by tenant: the requests also by outcome.
	requests     metric.Int64Counter
	promptTokens metric.Int64Counter
	cachedTokens metric.Int64Counter
	outputTokens metric.Int64Counter

	byModel metric.MeasurementOption

	// Attribute sets, which cost more to make than a measurement does. Both maps are bounded: operations, failures and
	// outcomes are few, tenants at most maxTenants.
	mu       sync.Mutex
	calls    map[callKey]callOptions        // guarded by mu
	tenants  map[string]metric.AddOption    // guarded by mu
	outcomes map[tenantKey]metric.AddOption // guarded by mu
}

type callKey struct{ operation, failure string }

// callOptions are the attributes of a call by the conventions.
type callOptions struct{ call, input, output metric.RecordOption }

type tenantKey struct{ tenant, outcome string }

func newMetrics(provider metric.MeterProvider, model string) (*metrics, error) {
	meter := provider.Meter("github.com/sluiceml/sluice/inference", metric.WithSchemaURL(semconv.SchemaURL))
	var failures []error
	seconds := func(name, description string, buckets []float64) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
			metric.WithExplicitBucketBoundaries(buckets...))
		failures = append(failures, err)
		return h
	}
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		failures = append(failures, err)
		return c
	}
	usage, err := meter.Int64Histogram(semconv.MetricClientTokenUsage, metric.WithUnit("{token}"),
		metric.WithDescription("Tokens of a request's prompt and of its output."),
		metric.WithExplicitBucketBoundaries(semconv.TokenUsageBuckets()...))
	failures = append(failures, err)
	m := &metrics{
		model:          model,
		duration:       seconds(semconv.MetricServerRequestDuration, "Time from a request's arrival to its end.", semconv.RequestDurationBuckets()),
		firstToken:     seconds(semconv.MetricServerTimeToFirstToken, "Time from a request's arrival to its first token.", semconv.TimeToFirstTokenBuckets()),
		perOutputToken: seconds(semconv.MetricServerTimePerOutputToken, "Time per token after the first.", semconv.TimePerOutputTokenBuckets()),
		usage:          usage,
		queue:          seconds(semconv.MetricQueueDuration, "Time from a request's admission to its first step.", semconv.QueueDurationBuckets()),
		prefill:        seconds(semconv.MetricPrefillDuration, "Time from a request's first step to the end of its prompt.", semconv.TimeToFirstTokenBuckets()),
		requests:       counter(semconv.MetricRequests, "{request}", "Requests that have ended, by how they ended."),
		promptTokens:   counter(semconv.MetricPromptTokens, "{token}", "Tokens of the prompts of requests that have ended and were admitted."),
		cachedTokens:   counter(semconv.MetricCachedTokens, "{token}", "Those of the prompt tokens that came from the prefix cache."),
		outputTokens:   counter(semconv.MetricOutputTokens, "{token}", "Tokens that were generated for requests that have ended."),
		byModel:        metric.WithAttributeSet(attribute.NewSet(semconv.Model.String(model))),
		calls:          map[callKey]callOptions{},
		tenants:        map[string]metric.AddOption{},
		outcomes:       map[tenantKey]metric.AddOption{},
	}
	return m, errors.Join(failures...)
}

// begin makes the counters of callers without a tenant appear, at 0.
func (m *metrics) begin(ctx context.Context) {
	outcome, tenant := m.counts("", semconv.OutcomeOK)
	m.requests.Add(ctx, 0, outcome)
	for _, c := range []metric.Int64Counter{m.promptTokens, m.cachedTokens, m.outputTokens} {
		c.Add(ctx, 0, tenant)
	}
}

// record accounts for a request that ended. failure is "" for one that ended well, else the error's type. The span in
// ctx, if it is sampled, becomes the exemplar of what is recorded.
func (m *metrics) record(ctx context.Context, operation, tenant, failure string, total time.Duration, s Summary) {
	options := m.options(operation, failure)
	m.duration.Record(ctx, total.Seconds(), options.call)
	if s.Timings.Queue > 0 {
		m.queue.Record(ctx, s.Timings.Queue.Seconds(), m.byModel)
	}
	if s.Usage.CompletionTokens > 0 {
		m.prefill.Record(ctx, s.Timings.Prefill.Seconds(), m.byModel)
		m.firstToken.Record(ctx, s.Timings.TimeToFirstToken.Seconds(), options.call)
		m.usage.Record(ctx, int64(s.Usage.CompletionTokens), options.output)
	}
	if s.Usage.CompletionTokens > 1 {
		m.perOutputToken.Record(ctx, s.Timings.Decode.Seconds()/float64(s.Usage.CompletionTokens-1), options.call)
	}
	if s.Usage.PromptTokens > 0 {
		m.usage.Record(ctx, int64(s.Usage.PromptTokens), options.input)
	}

	outcome := semconv.OutcomeOK
	if failure != "" {
		outcome = failure
	}
	ended, tokens := m.counts(tenant, outcome)
	m.requests.Add(ctx, 1, ended)
	m.promptTokens.Add(ctx, int64(s.Usage.PromptTokens), tokens)
	m.cachedTokens.Add(ctx, int64(s.Usage.CachedTokens), tokens)
	m.outputTokens.Add(ctx, int64(s.Usage.CompletionTokens), tokens)
}

// options are the attributes of the conventions' histograms.
func (m *metrics) options(operation, failure string) callOptions {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := callKey{operation, failure}
	options, ok := m.calls[key]
	if ok {
		return options
	}
	attributes := []attribute.KeyValue{
		semconv.GenAIOperationName.String(operation),
		semconv.GenAIProviderName.String(semconv.Provider),
		semconv.GenAIRequestModel.String(m.model),
		semconv.GenAIResponseModel.String(m.model),
	}
	usage := func(kind string) metric.RecordOption {
		return metric.WithAttributeSet(attribute.NewSet(append(slices.Clip(attributes), semconv.GenAITokenType.String(kind))...))
	}
	options.input, options.output = usage(semconv.TokenTypeInput), usage(semconv.TokenTypeOutput)
	if failure != "" {
		attributes = append(attributes, semconv.ErrorType.String(failure))
	}
	options.call = metric.WithAttributeSet(attribute.NewSet(attributes...))
	m.calls[key] = options
	return options
}

// counts are the attributes of the counters by tenant, with and without the outcome.
func (m *metrics) counts(tenant, outcome string) (ended, tokens metric.AddOption) {
	m.mu.Lock()
	defer m.mu.Unlock()
	tokens, ok := m.tenants[tenant]
	if !ok {
		if len(m.tenants) >= maxTenants {
			tenant = semconv.OtherTenant
		}
		tokens = metric.WithAttributeSet(attribute.NewSet(semconv.Model.String(m.model), semconv.Tenant.String(tenant)))
		m.tenants[tenant] = tokens
	}
	ended, ok = m.outcomes[tenantKey{tenant, outcome}]
	if !ok {
		ended = metric.WithAttributeSet(attribute.NewSet(
			semconv.Model.String(m.model), semconv.Tenant.String(tenant), semconv.Outcome.String(outcome)))
		m.outcomes[tenantKey{tenant, outcome}] = ended
	}
	return ended, tokens
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/semconv"
)

const scope = "github.com/sluiceml/sluice/inference/engine"

// ObserveStats reports the gauges and the counters of the prefix store and of speculation of a model, which has one or more engines: stats is called at each collection and
// adds up their figures. The function it returns ends that.
func ObserveStats(provider metric.MeterProvider, model string, stats func() Stats) (stop func() error, err error) {
	m := provider.Meter(scope)
	running, err1 := m.Int64ObservableGauge(semconv.MetricRequestsRunning,
		metric.WithDescription("Requests that hold a slot"))
	waiting, err2 := m.Int64ObservableGauge(semconv.MetricRequestsWaiting,
		metric.WithDescription("Requests that have been admitted and wait for a slot"))
	usage, err3 := m.Float64ObservableGauge(semconv.MetricKVCacheUsage,
		metric.WithDescription("Share of the key-value cache that is taken, 0 to 1"))
	queries, err4 := m.Int64ObservableCounter(semconv.MetricPrefixQueries, metric.WithUnit("{token}"),
		metric.WithDescription("Prompt tokens that were looked up in the prefix cache"))
	hits, err5 := m.Int64ObservableCounter(semconv.MetricPrefixHits, metric.WithUnit("{token}"),
		metric.WithDescription("Prompt tokens that were found in the prefix cache"))
	evictions, err6 := m.Int64ObservableCounter(semconv.MetricPrefixEvictions, metric.WithUnit("{block}"),
		metric.WithDescription("Blocks of the prefix cache that made room for others"))
	size, err7 := m.Int64ObservableGauge(semconv.MetricPrefixSize, metric.WithUnit("By"),
		metric.WithDescription("Memory that the prefix cache holds"))
	drafted, err8 := m.Int64ObservableCounter(semconv.MetricDraftTokens, metric.WithUnit("{token}"),
		metric.WithDescription("Guesses of next tokens that were checked"))
	accepted, err9 := m.Int64ObservableCounter(semconv.MetricAcceptedTokens, metric.WithUnit("{token}"),
		metric.WithDescription("Guesses of next tokens that were right"))
	tokens, err10 := m.Int64ObservableGauge(semconv.MetricKVCacheTokens,
		metric.WithDescription("Positions of keys and values that running requests hold"))
	preemptions, err11 := m.Int64ObservableCounter(semconv.MetricPreemptions, metric.WithUnit("{request}"),
		metric.WithDescription("Requests that lost their slot to others and started over later"))
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11); err != nil {
		return nil, fmt.Errorf("engine: gauges: %w", err)
	}
	attrs := metric.WithAttributeSet(attribute.NewSet(semconv.Model.String(model)))
	r, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := stats()
		o.ObserveInt64(running, int64(s.Running), attrs)
		o.ObserveInt64(waiting, int64(s.Waiting), attrs)
		o.ObserveFloat64(usage, s.KVUsage(), attrs)
		o.ObserveInt64(queries, int64(s.QueriedTokens), attrs)
		o.ObserveInt64(hits, int64(s.CachedTokens), attrs)
		o.ObserveInt64(evictions, int64(s.Evictions), attrs)
		o.ObserveInt64(size, int64(s.PrefixBytes), attrs)
		o.ObserveInt64(drafted, int64(s.DraftedTokens), attrs)
		o.ObserveInt64(accepted, int64(s.AcceptedTokens), attrs)
		o.ObserveInt64(tokens, int64(s.KVTokens), attrs)
		o.ObserveInt64(preemptions, int64(s.Preemptions), attrs)
		return nil
	}, running, waiting, usage, queries, hits, evictions, size, drafted, accepted, tokens, preemptions)
	if err != nil {
		return nil, fmt.Errorf("engine: gauges: %w", err)
	}
	return r.Unregister, nil
}

// stepMeter records the histograms of steps. A nil stepMeter records nothing.
type stepMeter struct {
	duration metric.Float64Histogram
	size     metric.Int64Histogram
	options  []metric.RecordOption // made once: a step allocates nothing
}

func newStepMeter(cfg Config) (*stepMeter, error) {
	if cfg.MeterProvider == nil {
		return nil, nil //nolint:nilnil // nil is the meter that records nothing
	}
	m := cfg.MeterProvider.Meter(scope)
	duration, err1 := m.Float64Histogram(semconv.MetricStepDuration,
		metric.WithUnit("s"),
		metric.WithDescription("Time of the session's run in one step"),
		metric.WithExplicitBucketBoundaries(semconv.StepDurationBuckets()...))
	size, err2 := m.Int64Histogram(semconv.MetricStepBatchSize,
		metric.WithUnit("{request}"),
		metric.WithDescription("Requests in one step"),
		metric.WithExplicitBucketBoundaries(semconv.StepBatchSizeBuckets()...))
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("engine: histograms: %w", err)
	}
	set := attribute.NewSet(semconv.Model.String(cfg.Model))
	return &stepMeter{
		duration: duration, size: size, options: []metric.RecordOption{metric.WithAttributeSet(set)},
	}, nil
}

func (m *stepMeter) record(ctx context.Context, batch runner.Step, took time.Duration) {
	if m == nil {
		return
	}
	m.duration.Record(ctx, took.Seconds(), m.options...)
	m.size.Record(ctx, int64(batch.Sequences()), m.options...)
}

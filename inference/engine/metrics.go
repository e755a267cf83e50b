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

// ObserveStats reports the gauges and counters of a model, which has one or more engines: stats is called at each
// collection and adds up their figures. The function it returns ends that.
func ObserveStats(provider metric.MeterProvider, model string, stats func() Stats) (stop func() error, err error) {
	o := statsObserver{meter: provider.Meter(scope)}
	byModel := semconv.Model.String(model)

	o.gauge(semconv.MetricRequestsRunning, "", "Requests that hold a slot",
		func(s *Stats) int { return s.Running }, byModel)
	o.gauge(semconv.MetricRequestsWaiting, "", "Requests that have been admitted and wait for a slot",
		func(s *Stats) int { return s.Waiting }, byModel)
	o.gauge(semconv.MetricKVCacheTokens, "", "Positions of keys and values that running requests hold",
		func(s *Stats) int { return s.KVTokens }, byModel)
	o.gauge(semconv.MetricPrefixSize, "By", "Memory that the prefix cache holds",
		func(s *Stats) int { return s.PrefixBytes }, byModel)
	o.counter(semconv.MetricPreemptions, "{request}", "Requests that lost their slot to others and started over later",
		func(s *Stats) int { return s.Preemptions }, byModel)
	o.counter(semconv.MetricPrefixQueries, "{token}", "Prompt tokens that were looked up in the prefix cache",
		func(s *Stats) int { return s.QueriedTokens }, byModel)
	o.counter(semconv.MetricPrefixHits, "{token}", "Prompt tokens that were found in the prefix cache",
		func(s *Stats) int { return s.CachedTokens }, byModel)
	o.counter(semconv.MetricPrefixEvictions, "{block}", "Blocks of the prefix cache that made room for others",
		func(s *Stats) int { return s.Evictions }, byModel)
	lookup, draft := semconv.Method.String(semconv.MethodPromptLookup), semconv.Method.String(semconv.MethodDraftModel)
	const checked, right = "Guesses of next tokens that were checked", "Guesses of next tokens that were right"
	o.counter(semconv.MetricDraftTokens, "{token}", checked,
		func(s *Stats) int { return s.DraftedTokens - s.ModelDraftedTokens }, byModel, lookup)
	o.counter(semconv.MetricAcceptedTokens, "{token}", right,
		func(s *Stats) int { return s.AcceptedTokens - s.ModelAcceptedTokens }, byModel, lookup)
	o.counter(semconv.MetricDraftTokens, "{token}", checked,
		func(s *Stats) int { return s.ModelDraftedTokens }, byModel, draft)
	o.counter(semconv.MetricAcceptedTokens, "{token}", right,
		func(s *Stats) int { return s.ModelAcceptedTokens }, byModel, draft)
	const tokens = "Tokens that steps processed of prompts (prefill) and generated (decode)"
	o.counter(semconv.MetricStepTokens, "{token}", tokens,
		func(s *Stats) int { return s.PrefilledTokens }, byModel, semconv.Phase.String(semconv.PhasePrefill))
	o.counter(semconv.MetricStepTokens, "{token}", tokens,
		func(s *Stats) int { return s.DecodedTokens }, byModel, semconv.Phase.String(semconv.PhaseDecode))

	usage, failure := o.meter.Float64ObservableGauge(semconv.MetricKVCacheUsage,
		metric.WithDescription("Share of the key-value cache that is taken, 0 to 1"))
	if err := errors.Join(append(o.failures, failure)...); err != nil {
		return nil, fmt.Errorf("engine: gauges: %w", err)
	}
	attrs := metric.WithAttributeSet(attribute.NewSet(byModel))
	r, err := o.meter.RegisterCallback(func(_ context.Context, observer metric.Observer) error {
		s := stats()
		for _, f := range o.figures {
			observer.ObserveInt64(f.instrument, int64(f.value(&s)), f.attributes)
		}
		observer.ObserveFloat64(usage, s.KVUsage(), attrs)
		return nil
	}, append(o.observables, usage)...)
	if err != nil {
		return nil, fmt.Errorf("engine: gauges: %w", err)
	}
	return r.Unregister, nil
}

// statsObserver makes the instruments of ObserveStats.
type statsObserver struct {
	meter       metric.Meter
	figures     []figure
	observables []metric.Observable
	failures    []error
}

// figure is one of the Stats and the instrument that shows it.
type figure struct {
	instrument metric.Int64Observable
	value      func(*Stats) int
	attributes metric.ObserveOption
}

func (o *statsObserver) gauge(name, unit, description string, value func(*Stats) int, attributes ...attribute.KeyValue) {
	i, err := o.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	o.add(i, err, value, attributes)
}

func (o *statsObserver) counter(name, unit, description string, value func(*Stats) int, attributes ...attribute.KeyValue) {
	i, err := o.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	o.add(i, err, value, attributes)
}

func (o *statsObserver) add(i metric.Int64Observable, err error, value func(*Stats) int, attributes []attribute.KeyValue) {
	o.figures = append(o.figures, figure{i, value, metric.WithAttributeSet(attribute.NewSet(attributes...))})
	o.observables, o.failures = append(o.observables, i), append(o.failures, err)
}

// stepMeter records the histograms of steps. A nil stepMeter records nothing.
type stepMeter struct {
	duration metric.Float64Histogram
	size     metric.Int64Histogram
	latency  metric.Float64Histogram
	options  []metric.RecordOption // made once: a step allocates nothing
	nobody   context.Context       //nolint:containedctx // of measurements that belong to no sampled request
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
	latency, err3 := m.Float64Histogram(semconv.MetricInterTokenLatency,
		metric.WithUnit("s"),
		metric.WithDescription("Time from a token to the next one of its output; 0 for those that a step yields beside its first"),
		metric.WithExplicitBucketBoundaries(semconv.InterTokenLatencyBuckets()...))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("engine: histograms: %w", err)
	}
	set := attribute.NewSet(semconv.Model.String(cfg.Model))
	return &stepMeter{
		duration: duration, size: size, latency: latency, nobody: context.Background(), options: []metric.RecordOption{metric.WithAttributeSet(set)},
	}, nil
}

func (m *stepMeter) record(ctx context.Context, batch runner.Step, took time.Duration) {
	if m == nil {
		return
	}
	m.duration.Record(ctx, took.Seconds(), m.options...)
	m.size.Record(ctx, int64(batch.Sequences()), m.options...)
}

// token records the time since the output's token before. The span of a sampled request becomes its exemplar.
func (m *stepMeter) token(of *jobTrace, since time.Duration) {
	if m == nil {
		return
	}
	ctx := m.nobody
	if of != nil {
		ctx = of.parent
	}
	m.latency.Record(ctx, since.Seconds(), m.options...)
}

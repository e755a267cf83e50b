package inference

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluiceml/sluice/inference/semconv"
)

// metrics are the instruments of one model.
type metrics struct {
	model          string
	duration       metric.Float64Histogram
	firstToken     metric.Float64Histogram
	perOutputToken metric.Float64Histogram
}

func newMetrics(provider metric.MeterProvider, model string) (*metrics, error) {
	meter := provider.Meter("github.com/sluiceml/sluice/inference")
	var failures []error
	histogram := func(name, description string, buckets []float64) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
			metric.WithExplicitBucketBoundaries(buckets...))
		failures = append(failures, err)
		return h
	}
	m := &metrics{
		model:          model,
		duration:       histogram(semconv.MetricServerRequestDuration, "Time from a request's arrival to its end.", semconv.RequestDurationBuckets()),
		firstToken:     histogram(semconv.MetricServerTimeToFirstToken, "Time from a request's arrival to its first token.", semconv.TimeToFirstTokenBuckets()),
		perOutputToken: histogram(semconv.MetricServerTimePerOutputToken, "Time per token after the first.", semconv.TimePerOutputTokenBuckets()),
	}
	return m, errors.Join(failures...)
}

// record accounts for a request that ended. failure is "" for one that ended well, else the error's type.
func (m *metrics) record(ctx context.Context, operation, failure string, total time.Duration, s Summary) {
	attributes := []attribute.KeyValue{
		semconv.GenAIOperationName.String(operation),
		semconv.GenAIProviderName.String(semconv.Provider),
		semconv.GenAIRequestModel.String(m.model),
	}
	if failure != "" {
		attributes = append(attributes, semconv.ErrorType.String(failure))
	}
	set := metric.WithAttributeSet(attribute.NewSet(attributes...))
	m.duration.Record(ctx, total.Seconds(), set)
	if s.Usage.CompletionTokens > 0 {
		m.firstToken.Record(ctx, s.Timings.TimeToFirstToken.Seconds(), set)
	}
	if s.Usage.CompletionTokens > 1 {
		m.perOutputToken.Record(ctx, s.Timings.Decode.Seconds()/float64(s.Usage.CompletionTokens-1), set)
	}
}

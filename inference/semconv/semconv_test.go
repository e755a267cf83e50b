package semconv_test

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	conventions "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"

	"github.com/sluiceml/sluice/inference/semconv"
)

// TestNames compares the pinned names with those of the conventions' own package.
func TestNames(t *testing.T) {
	for got, want := range map[attribute.Key]attribute.Key{
		semconv.GenAIOperationName:           conventions.GenAIOperationNameKey,
		semconv.GenAIProviderName:            conventions.GenAIProviderNameKey,
		semconv.GenAIRequestModel:            conventions.GenAIRequestModelKey,
		semconv.GenAIRequestMaxTokens:        conventions.GenAIRequestMaxTokensKey,
		semconv.GenAIRequestTemperature:      conventions.GenAIRequestTemperatureKey,
		semconv.GenAIRequestTopK:             conventions.GenAIRequestTopKKey,
		semconv.GenAIRequestTopP:             conventions.GenAIRequestTopPKey,
		semconv.GenAIRequestPresencePenalty:  conventions.GenAIRequestPresencePenaltyKey,
		semconv.GenAIRequestFrequencyPenalty: conventions.GenAIRequestFrequencyPenaltyKey,
		semconv.GenAIRequestSeed:             conventions.GenAIRequestSeedKey,
		semconv.GenAIRequestChoiceCount:      conventions.GenAIRequestChoiceCountKey,
		semconv.GenAIResponseID:              conventions.GenAIResponseIDKey,
		semconv.GenAIResponseModel:           conventions.GenAIResponseModelKey,
		semconv.GenAIResponseFinishReasons:   conventions.GenAIResponseFinishReasonsKey,
		semconv.GenAITokenType:               conventions.GenAITokenTypeKey,
		semconv.GenAIUsageInputTokens:        conventions.GenAIUsageInputTokensKey,
		semconv.GenAIUsageOutputTokens:       conventions.GenAIUsageOutputTokensKey,
		semconv.GenAIUsageCachedTokens:       conventions.GenAIUsageCacheReadInputTokensKey,
		semconv.GenAIInputMessages:           conventions.GenAIInputMessagesKey,
		semconv.GenAIOutputMessages:          conventions.GenAIOutputMessagesKey,
		semconv.ErrorType:                    conventions.ErrorTypeKey,
	} {
		if got != want {
			t.Errorf("%q is pinned, the conventions say %q", got, want)
		}
	}
	if semconv.SchemaURL != conventions.SchemaURL {
		t.Errorf("schema %q, want %q", semconv.SchemaURL, conventions.SchemaURL)
	}
	if got := conventions.GenAIOperationNameChat.Value.AsString(); got != semconv.OperationChat {
		t.Errorf("operation %q, want %q", semconv.OperationChat, got)
	}
	if got := conventions.GenAIOperationNameTextCompletion.Value.AsString(); got != semconv.OperationTextCompletion {
		t.Errorf("operation %q, want %q", semconv.OperationTextCompletion, got)
	}
}

// TestMetricNames compares the pinned names and units of metrics with those of the conventions' own package.
func TestMetricNames(t *testing.T) {
	for got, want := range map[string]interface {
		Name() string
		Unit() string
	}{
		semconv.MetricServerRequestDuration:    genaiconv.ServerRequestDuration{},
		semconv.MetricServerTimeToFirstToken:   genaiconv.ServerTimeToFirstToken{},
		semconv.MetricServerTimePerOutputToken: genaiconv.ServerTimePerOutputToken{},
		semconv.MetricClientTokenUsage:         genaiconv.ClientTokenUsage{},
	} {
		if got != want.Name() {
			t.Errorf("%q is pinned, the conventions say %q in %s", got, want.Name(), want.Unit())
		}
	}
	for got, want := range map[string]genaiconv.TokenTypeAttr{
		semconv.TokenTypeInput: genaiconv.TokenTypeInput, semconv.TokenTypeOutput: genaiconv.TokenTypeOutput,
	} {
		if got != string(want) {
			t.Errorf("token type %q, want %q", got, want)
		}
	}
}

// TestBucketsAscend: an instrument refuses boundaries that don't.
func TestBucketsAscend(t *testing.T) {
	for _, buckets := range [][]float64{
		semconv.RequestDurationBuckets(), semconv.TimeToFirstTokenBuckets(), semconv.TimePerOutputTokenBuckets(),
		semconv.StepDurationBuckets(), semconv.StepBatchSizeBuckets(), semconv.InterTokenLatencyBuckets(),
		semconv.QueueDurationBuckets(), semconv.TokenUsageBuckets(),
	} {
		for i := 1; i < len(buckets); i++ {
			if buckets[i] <= buckets[i-1] {
				t.Errorf("%v: %v does not ascend", buckets, buckets[i])
			}
		}
	}
}

package inference_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

// TestAccountOfCutRequest: a request that ends in the middle is accounted for with the tokens that it had by then,
// however it ends.
func TestAccountOfCutRequest(t *testing.T) {
	for name, cut := range map[string]func(context.CancelFunc, *inference.Stream){
		"its context ends": func(cancel context.CancelFunc, _ *inference.Stream) { cancel() },
		"Close":            func(_ context.CancelFunc, stream *inference.Stream) { stream.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testAccount(t, cut) })
		})
	}
}

func testAccount(t *testing.T, cut func(context.CancelFunc, *inference.Stream)) {
	t.Helper()
	traces, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	m := newModel(t, setup{traces: traces, metrics: reader, toy: inferencetest.ToyConfig{
		Limits:     runner.Limits{Slots: 1, MaxLength: context128, MaxChunk: 16, VocabSize: vocabSize},
		BeforeStep: func(runner.Step) error { time.Sleep(time.Second); return nil }, //nolint:forbidigo // of the bubble's clock
	}})
	run(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := m.Generate(ctx, request(inference.Prompt{Text: "Hello"}))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := stream.Next(ctx); err != nil {
			t.Fatal(err)
		}
	}
	cut(cancel, stream)
	if _, err := stream.Next(ctx); err == nil {
		t.Error("the stream goes on")
	}
	attributes := map[attribute.Key]attribute.Value{}
	for _, span := range traces.Ended() {
		if span.Name() == "text_completion toy" {
			for _, a := range span.Attributes() {
				attributes[a.Key] = a.Value
			}
		}
	}
	if in, out := attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]; in.AsInt64() != 5 || out.AsInt64() != 3 {
		t.Errorf("the span counts %d and %d tokens", in.AsInt64(), out.AsInt64())
	}
	if failure := attributes["error.type"].AsString(); failure != "cancelled" {
		t.Errorf("error.type is %q", failure)
	}
	if got := observed(t, reader, "gen_ai.server.time_to_first_token"); got != 1 {
		t.Errorf("the time to the first token is %v s in all", got)
	}
	if got := observed(t, reader, "gen_ai.server.time_per_output_token"); got != 1 {
		t.Errorf("the time per output token is %v s in all", got)
	}
}

// observed is the sum of a histogram's values.
func observed(t *testing.T, reader sdkmetric.Reader, name string) (sum float64) {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &collected); err != nil {
		t.Fatal(err)
	}
	for _, scope := range collected.ScopeMetrics {
		for _, metric := range scope.Metrics {
			if histogram, ok := metric.Data.(metricdata.Histogram[float64]); ok && metric.Name == name {
				for _, point := range histogram.DataPoints {
					sum += point.Sum
				}
			}
		}
	}
	return sum
}

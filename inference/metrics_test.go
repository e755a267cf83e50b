package inference_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluiceml/sluice/inference"
)

// TestMetricsOfRequests: requests and tokens by tenant and outcome, and the conventions' token histogram.
func TestMetricsOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		m := newModel(t, setup{metrics: reader})
		run(t, m)
		for _, tenant := range []string{"blue", "blue", "red", ""} {
			r := request(inference.Prompt{Text: "Hello"})
			r.Tenant, r.Sampling.MaxTokens = tenant, 3
			r.Sampling.IgnoreEOS = true
			readAll(t, m, r)
		}
		refused := request(inference.Prompt{Text: strings.Repeat("Hello", 100)})
		refused.Tenant = "red"
		if _, err := m.Generate(t.Context(), refused); err == nil {
			t.Error("a prompt over the context was taken")
		}
		got := counted(t, reader)
		want := map[string]float64{
			"sluice_requests model=toy outcome=ok tenant=":                       1,
			"sluice_requests model=toy outcome=ok tenant=blue":                   2,
			"sluice_requests model=toy outcome=ok tenant=red":                    1,
			"sluice_requests model=toy outcome=invalid_argument tenant=red":      1,
			"sluice_prompt_tokens model=toy tenant=":                             5,
			"sluice_prompt_tokens model=toy tenant=blue":                         10,
			"sluice_prompt_tokens model=toy tenant=red":                          5,
			"sluice_output_tokens model=toy tenant=":                             3,
			"sluice_output_tokens model=toy tenant=blue":                         6,
			"sluice_output_tokens model=toy tenant=red":                          3,
			"sluice_queue_duration model=toy":                                    0,
			"sluice_prefill_duration model=toy":                                  4,
			"gen_ai.client.token.usage text_completion gen_ai.token.type=input":  4,
			"gen_ai.client.token.usage text_completion gen_ai.token.type=output": 4,
		}
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s is %v, want %v", name, got[name], value)
			}
		}
		if t.Failed() {
			t.Log(cmp.Diff(want, got))
		}
	})
}

// TestExemplars: what a sampled request recorded names its span.
func TestExemplars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, traces := sdkmetric.NewManualReader(), tracetest.NewSpanRecorder()
		m := newModel(t, setup{metrics: reader, traces: traces})
		run(t, m)
		r := request(inference.Prompt{Text: "Hello"})
		r.Sampling.MaxTokens, r.Sampling.IgnoreEOS = 3, true
		readAll(t, m, r)
		want := ""
		for _, span := range traces.Ended() {
			if span.Name() == "text_completion toy" {
				want = span.SpanContext().SpanID().String()
			}
		}
		exemplars := map[string]string{}
		for _, metric := range collect(t, reader) {
			if histogram, ok := metric.Data.(metricdata.Histogram[float64]); ok {
				for _, point := range histogram.DataPoints {
					for _, e := range point.Exemplars {
						exemplars[metric.Name] = fmt.Sprintf("%x", e.SpanID)
					}
				}
			}
		}
		for _, name := range []string{
			"gen_ai.server.request.duration", "gen_ai.server.time_to_first_token", "gen_ai.server.time_per_output_token",
			"sluice_prefill_duration",
		} {
			if exemplars[name] != want || want == "" {
				t.Errorf("the exemplar of %s is span %q, want %q", name, exemplars[name], want)
			}
		}
	})
}

// readAll runs a request to its end.
func readAll(t *testing.T, m *inference.Model, r inference.Request) {
	t.Helper()
	stream, err := m.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for {
		update, err := stream.Next(t.Context())
		if err != nil {
			break
		}
		if update.Finish != nil && update.Finish.Reason == 0 {
			t.Error("no reason")
		}
	}
}

func collect(t *testing.T, reader sdkmetric.Reader) (all []metricdata.Metrics) {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &collected); err != nil {
		t.Fatal(err)
	}
	for _, scope := range collected.ScopeMetrics {
		all = append(all, scope.Metrics...)
	}
	return all
}

// counted is the value of each counter and the count of each histogram, by name and attributes; of the conventions'
// attributes only the operation and what tells points of one operation apart.
func counted(t *testing.T, reader sdkmetric.Reader) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for _, m := range collect(t, reader) {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				values[pointName(m.Name, p.Attributes)] = float64(p.Value)
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				values[pointName(m.Name, p.Attributes)] = float64(p.Count)
			}
		case metricdata.Histogram[int64]:
			for _, p := range data.DataPoints {
				values[pointName(m.Name, p.Attributes)] = float64(p.Count)
			}
		}
	}
	return values
}

func pointName(name string, set attribute.Set) string {
	parts := []string{name}
	for _, a := range set.ToSlice() {
		switch a.Key {
		case "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model":
		case "gen_ai.operation.name":
			parts = append(parts, a.Value.AsString())
		default:
			parts = append(parts, string(a.Key)+"="+a.Value.AsString())
		}
	}
	return strings.Join(parts, " ")
}

package inference_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluiceml/sluice/inference"
)

// TestContent: a request's texts are in its span if the operator asks for it, and nowhere else.
func TestContent(t *testing.T) {
	const canary = "canary-4711"
	for _, on := range []bool{false, true} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				traces, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
				m := newModel(t, setup{traces: traces, metrics: reader, configure: func(c *inference.Config) { c.RecordContent = on }})
				run(t, m)
				r := request(inference.Chat{Messages: []inference.Message{{Role: "user", Content: canary}}, AddGenerationPrompt: true})
				r.Sampling.MaxTokens, r.Sampling.IgnoreEOS = 4, true
				answer := ""
				stream, err := m.Generate(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				for {
					update, err := stream.Next(t.Context())
					if err != nil {
						break
					}
					answer += update.Text
				}
				got := map[string]string{}
				for _, span := range traces.Ended() {
					for _, a := range span.Attributes() {
						if strings.HasSuffix(string(a.Key), ".messages") && span.Name() == "chat toy" {
							got[string(a.Key)] = a.Value.AsString()
						} else if strings.Contains(a.Value.String(), canary) {
							t.Errorf("the prompt is in %s of %s", a.Key, span.Name())
						}
					}
				}
				want := map[string]string{}
				if on {
					text, err := json.Marshal(answer)
					if err != nil {
						t.Fatal(err)
					}
					want["gen_ai.input.messages"] = `[{"role":"user","parts":[{"type":"text","content":"` + canary + `"}]}]`
					want["gen_ai.output.messages"] = `[{"role":"assistant","parts":[{"type":"text","content":` + string(text) + `}],"finish_reason":"length"}]`
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
				if text := fmt.Sprint(collect(t, reader)); strings.Contains(text, canary) {
					t.Errorf("the prompt is in a metric: %s", text)
				}
			})
		})
	}
}

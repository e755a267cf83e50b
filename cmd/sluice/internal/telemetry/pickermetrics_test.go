package telemetry

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluiceml/sluice/inference/engine"
)

// What pickers read has the names and labels of the model server protocol.
func TestPickerMetrics(t *testing.T) {
	m := newPickerMetrics()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	scrape := func() string {
		response := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return response.Body.String()
	}
	m.add("small", func() engine.Stats {
		return engine.Stats{Running: 3, Waiting: 2, Slots: 4, PrefixBlocks: 128}
	})
	text := scrape()
	for _, want := range []string{
		`vllm:num_requests_running\{model_name="small"\} 3`,
		`vllm:num_requests_waiting\{model_name="small"\} 2`,
		`vllm:kv_cache_usage_perc\{model_name="small"\} 0.75`,
		`vllm:cache_config_info\{block_size="16",model_name="small",num_gpu_blocks="128"\} 1`,
		`vllm:lora_requests_info\{max_lora="0",running_lora_adapters="",waiting_lora_adapters=""\} [1-9]\S+`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(text) {
			t.Errorf("no %s in:\n%s", want, text)
		}
	}
	m.remove("small")
	if text := scrape(); strings.Contains(text, "small") {
		t.Errorf("of no model:\n%s", text)
	}
}

package telemetry

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/kvcache"
)

// pickerMetrics are the gauges that Kubernetes' endpoint pickers read, under the names that they know, as the model server
// protocol of the Gateway API inference extension has them. OpenTelemetry's names take no colon, hence a collector of our
// own. It is safe for concurrent use.
//
// A picker's prefix scorer keeps as many blocks for a server as the cache's info says that it holds: those of the prefix
// store, which is where Sluice keeps prompts. The info of adapters says that there are none, which a picker that looks for
// it would otherwise report as a fault at every scrape.
type pickerMetrics struct {
	running, waiting, usage *prometheus.Desc
	cache, adapters         *prometheus.Desc

	mu     sync.Mutex
	models map[string]func() engine.Stats // guarded by mu
}

func newPickerMetrics() *pickerMetrics {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("vllm:"+name, help, append(labels, "model_name"), nil)
	}
	return &pickerMetrics{
		running: describe("num_requests_running", "Requests that hold a slot."),
		waiting: describe("num_requests_waiting", "Requests that wait for a slot."),
		usage:   describe("kv_cache_usage_perc", "Share of the key-value cache that is taken, 0 to 1."),
		cache: describe("cache_config_info", "The prefix cache: tokens of a block, and blocks; always 1.",
			"block_size", "num_gpu_blocks"),
		adapters: prometheus.NewDesc("vllm:lora_requests_info", "Adapters: none are served. The time of the scrape.",
			[]string{"max_lora", "running_lora_adapters", "waiting_lora_adapters"}, nil),
		models: map[string]func() engine.Stats{},
	}
}

func (m *pickerMetrics) add(model string, stats func() engine.Stats) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.models[model] = stats
}

func (m *pickerMetrics) remove(model string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.models, model)
}

// Describe implements prometheus.Collector.
func (m *pickerMetrics) Describe(descs chan<- *prometheus.Desc) {
	descs <- m.running
	descs <- m.waiting
	descs <- m.usage
	descs <- m.cache
	descs <- m.adapters
}

// Collect implements prometheus.Collector.
func (m *pickerMetrics) Collect(metrics chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for model, stats := range m.models {
		s := stats()
		gauge := func(desc *prometheus.Desc, value float64) {
			metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, model)
		}
		gauge(m.running, float64(s.Running))
		gauge(m.waiting, float64(s.Waiting))
		gauge(m.usage, s.KVUsage())
		metrics <- prometheus.MustNewConstMetric(m.cache, prometheus.GaugeValue, 1,
			strconv.Itoa(kvcache.BlockSize), strconv.Itoa(s.PrefixBlocks), model)
	}
	metrics <- prometheus.MustNewConstMetric(m.adapters, prometheus.GaugeValue, float64(time.Now().Unix()), "0", "", "")
}

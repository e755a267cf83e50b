package main

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluiceml/sluice/inference/engine"
)

// pickerMetrics are the gauges that Kubernetes' endpoint pickers read, under the names that they know. OpenTelemetry's
// names take no colon, hence a collector of our own. It is safe for concurrent use.
type pickerMetrics struct {
	running, waiting, usage *prometheus.Desc

	mu     sync.Mutex
	models map[string]func() engine.Stats // guarded by mu
}

func newPickerMetrics() *pickerMetrics {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("vllm:"+name, help, []string{"model_name"}, nil)
	}
	return &pickerMetrics{
		running: describe("num_requests_running", "Requests that hold a slot."),
		waiting: describe("num_requests_waiting", "Requests that wait for a slot."),
		usage:   describe("kv_cache_usage_perc", "Share of the key-value cache that is taken, 0 to 1."),
		models:  map[string]func() engine.Stats{},
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
	}
}

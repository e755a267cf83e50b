package engine_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/sluiceml/sluice/inference/engine"
)

// TestMetrics reads the names and values that Prometheus sees: before the first request and while two are there.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
		if err != nil {
			t.Fatal(err)
		}
		provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
		toy := slow()
		toy.Limits.Blocks = 3
		h := start(t, toy, engine.Config{Model: "toy", MeterProvider: provider})
		stop, err := engine.ObserveStats(provider, "toy", h.Stats)
		if err != nil {
			t.Fatal(err)
		}
		check := func(running, waiting, usage float64) {
			t.Helper()
			want := map[string]float64{
				`sluice_requests_running{model="toy"}`: running,
				`sluice_requests_waiting{model="toy"}`: waiting,
				`sluice_kv_cache_usage{model="toy"}`:   usage,
			}
			got := gather(t, registry)
			maps.DeleteFunc(got, func(name string, _ float64) bool { _, ok := want[name]; return !ok })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("gauges: want (-), got (+):\n%s", diff)
			}
		}
		check(0, 0, 0)
		outs := []*engine.Output{submit(t, h.Engine, greedy(3, 1)), submit(t, h.Engine, greedy(3, 1))}
		synctest.Wait()
		check(1, 1, 1)
		for _, out := range outs {
			read(t, out)
		}
		synctest.Wait()
		check(0, 0, 0)

		got := gather(t, registry)
		for _, name := range []string{"sluice_step_duration_seconds", "sluice_step_batch_size"} {
			if n := got[name+`{model="toy"}`]; n != 6 {
				t.Errorf("%s counts %v steps, want 6", name, n)
			}
		}
		for name, n := range map[string]float64{ // of two outputs of three tokens; the first of each is no gap
			`sluice_inter_token_latency_seconds{model="toy"}`:       4,
			`sluice_step_tokens_total{model="toy",phase="prefill"}`: 2,
			`sluice_step_tokens_total{model="toy",phase="decode"}`:  6,
		} {
			if got[name] != n {
				t.Errorf("%s is %v, want %v", name, got[name], n)
			}
		}
		for range 2 { // of two prompts of two blocks, in a store of three
			read(t, submit(t, h.Engine, greedy(1, counting(1, 33)...)))
			read(t, submit(t, h.Engine, greedy(1, counting(2, 33)...)))
		}
		synctest.Wait()
		got = gather(t, registry)
		for name, n := range map[string]float64{
			"sluice_prefix_cache_queries_total": 4 * 33, "sluice_prefix_cache_hits_total": 32,
			"sluice_prefix_cache_evictions_total": 3, "sluice_prefix_cache_size_bytes": float64(3 * h.Limits().BlockBytes),
		} {
			if got[name+`{model="toy"}`] != n {
				t.Errorf("%s is %v, want %v", name, got[name+`{model="toy"}`], n)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if err := provider.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// gather is the value of each gauge and counter and the count of each histogram.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := f.GetName() + "{" + strings.Join(labels, ",") + "}"
			if h := m.GetHistogram(); h != nil {
				values[name] = float64(h.GetSampleCount())
				continue
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() // one of them is nil
		}
	}
	return values
}

func TestStatsAdd(t *testing.T) {
	a := engine.Stats{Running: 1, Waiting: 2, Slots: 4, QueriedTokens: 5, CachedTokens: 6, Evictions: 7, PrefixBytes: 8}
	want := engine.Stats{Running: 2, Waiting: 4, Slots: 8, QueriedTokens: 10, CachedTokens: 12, Evictions: 14, PrefixBytes: 16}
	if got := a.Add(a); got != want {
		t.Errorf("got %+v", got)
	}
	if (engine.Stats{}).KVUsage() != 0 || a.KVUsage() != 0.25 {
		t.Error("KVUsage")
	}
}

package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluiceml/sluice/cmd/sluice/internal/buildinfo"
)

// buildInfo is the metric sluice_build_info, always 1: which build runs where.
func buildInfo(v buildinfo.Info) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sluice_build_info",
		Help: "The build that runs, by its labels; always 1.",
		ConstLabels: prometheus.Labels{
			"version": v.Version, "revision": v.Commit, "go_version": v.Go, "platform": v.Platform,
		},
	}, func() float64 { return 1 })
}

package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var pageTemplate string

// page is what the template prints.
type page struct {
	*Report
	Title, Asked, Machine, SLO string
	Charts                     []chart
	Timelines                  []timelineCharts
	Throughput, Latencies      grid
	Notes                      []string
}

// timelineCharts are those of one load.
type timelineCharts struct {
	Load   string
	Charts []chart
}

// WriteHTML prints a report as one page that needs nothing else: no script, no font, no network.
func (r *Report) WriteHTML(w io.Writer) error {
	parsed, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("the page's template: %w", err)
	}
	if err := parsed.Execute(w, r.page()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

func (r *Report) page() page {
	p := page{
		Report: r, Title: r.title(), Asked: r.Setting.String(), SLO: r.Setting.slo(), Notes: r.notes(),
		Machine: fmt.Sprintf("client: sluice %s on %s, %d CPUs, %s", r.Client.Version, r.Client.System, r.Client.CPUs,
			r.Client.Start.UTC().Format("2006-01-02 15:04:05 UTC")),
		Charts: r.loadCharts(),
	}
	for i := range r.Levels {
		l := &r.Levels[i]
		if len(l.Timeline) > 0 {
			p.Timelines = append(p.Timelines, timelineCharts{Load: l.load().String(), Charts: l.timelineCharts()})
		}
	}
	p.Throughput = r.throughput()
	p.Latencies = r.latencies()
	return p
}

// loadCharts show how latency and throughput grow with the load.
func (r *Report) loadCharts() []chart {
	if len(r.Levels) == 0 {
		return nil
	}
	xLabel := "concurrent streams"
	if r.Levels[0].load().open() {
		xLabel = "arrivals a second"
	}
	var xs []float64
	for _, l := range r.Levels {
		xs = append(xs, l.load().value())
	}
	over := func(name string, of func(*Level) float64) series {
		s := series{name: name}
		for i := range r.Levels {
			if r.Levels[i].OK > 0 {
				s.x, s.y = append(s.x, xs[i]), append(s.y, of(&r.Levels[i]))
			}
		}
		return s
	}
	percentiles := func(of func(*Level) Distribution) []series {
		return []series{
			over("p50", func(l *Level) float64 { return of(l).P50 }),
			over("p95", func(l *Level) float64 { return of(l).P95 }),
			over("p99", func(l *Level) float64 { return of(l).P99 }),
		}
	}
	charts := []chart{
		newChart("Time to first token", xLabel, "ms", xs, percentiles(func(l *Level) Distribution { return l.TTFT })),
		newChart("Inter-token latency", xLabel, "ms", xs, percentiles(func(l *Level) Distribution { return l.ITL })),
		newChart("End to end", xLabel, "ms", xs, percentiles(func(l *Level) Distribution { return l.E2E })),
		newChart("Throughput", xLabel, "tokens/s", xs, []series{
			over("output", func(l *Level) float64 { return l.OutputPerSecond }),
			over("prompt and output", func(l *Level) float64 { return l.TotalPerSecond }),
		}),
	}
	if r.Setting.slo() != "" {
		charts = append(charts, newChart("Goodput", xLabel, "requests/s", xs, []series{
			over("good", func(l *Level) float64 { return l.Goodput }),
			over("all", func(l *Level) float64 { return l.RequestsPerSecond }),
		}))
	}
	return charts
}

func (l *Level) timelineCharts() []chart {
	tokens, inFlight := series{name: "output"}, series{name: "in flight"}
	for _, m := range l.Timeline {
		tokens.x, tokens.y = append(tokens.x, m.Start), append(tokens.y, m.Tokens)
		inFlight.x, inFlight.y = append(inFlight.x, m.Start), append(inFlight.y, m.InFlight)
	}
	return []chart{
		newChart("Throughput over time", "seconds", "tokens/s", nil, []series{tokens}),
		newChart("Requests in flight", "seconds", "requests", nil, []series{inFlight}),
	}
}

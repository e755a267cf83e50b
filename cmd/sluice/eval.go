package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/sluiceml/sluice/cmd/sluice/internal/eval"
	"github.com/sluiceml/sluice/cmd/sluice/internal/exit"
	"github.com/sluiceml/sluice/cmd/sluice/internal/memory"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/tokenizer"
)

type evalCmd struct {
	Folders   []string `arg:"" name:"dir" help:"Model folders." placeholder:"DIR"`
	Text      string   `help:"Text to predict, which the models have not seen." placeholder:"FILE" type:"existingfile"`
	Reference string   `help:"Model folder to compare the predictions with: the same model in float32, say." placeholder:"DIR"`
	Tasks     []string `help:"Multiple-choice questions: a JSON file (see below)." placeholder:"FILE" type:"existingfile"`

	evalFlags
	Speed bool `help:"Measure the speed too." default:"true" negatable:""`

	JSON string `help:"Write the figures to this file as JSON; - is standard output, in place of the table." name:"json" placeholder:"FILE"`
	HTML string `help:"Write a page with the table and a plot of quality against speed." name:"html" placeholder:"FILE"`
	SVG  string `help:"Write the plot alone." name:"svg" placeholder:"FILE"`
}

// evalFlags are how models are measured.
type evalFlags struct {
	Window       int    `help:"Tokens of a window of the text, those that the tokenizer adds included." default:"512" placeholder:"N"`
	Stride       int    `help:"Tokens between the beginnings of two windows: of each window the last ones count that the one before did not predict. 0: half a window." default:"0" placeholder:"N"`
	Windows      int    `help:"Windows at most, spread over the text; 0: all." default:"0" placeholder:"N"`
	PromptTokens int    `help:"Length of the prompt that is timed." default:"128" placeholder:"N"`
	MaxTokens    int    `help:"Length of the answer that is timed." default:"64" placeholder:"N"`
	Runs         int    `help:"Runs of which the median is the speed." default:"3" placeholder:"N"`
	Threads      int    `help:"Threads of a model; 0: one per core." default:"0" placeholder:"N"`
	NoKernels    bool   `help:"Leave all work to ONNX Runtime's own operators."`
	ONNXRuntime  string `help:"ONNX Runtime's library. Default: the cache's." name:"onnxruntime" placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (evalCmd) Help() string {
	return `Runs the models in this process, one after the other, through the same code that serves them. Perplexity, KL
divergence and task scores are the same in every run; speed is of the moment: measure on an idle machine.

A window's tokens are predicted from those before them in the window, so a token has at least window - stride tokens of
context (the first window's fewer). Perplexities of models with different tokenizers are not comparable; bits per byte are.

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
		return exit.Usagef("nothing to measure: give --text or --tasks")
	}
	if c.Reference != "" && c.Text == "" {
		return exit.Usagef("--reference is compared over a --text")
	}
	if err := c.exist(); err != nil {
		return err
	}
	e, err := c.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.environment.Close()) }()
	if e.tasks, err = readTasks(c.Tasks); err != nil {
		return err
	}
	if err := e.readText(c.Text); err != nil {
		return err
	}
	e.speed = c.Speed
	e.report.Reference = c.Reference
	for _, dir := range c.Folders {
		p.log.Info("measuring", "model", dir)
		result, err := e.measure(ctx, dir, c.Reference)
		if err != nil {
			if len(e.report.Models) > 0 { // what took hours is not lost
				err = errors.Join(err, c.print(p.stdout, &e.report))
			}
			return err
		}
		e.report.Models = append(e.report.Models, result)
	}
	return c.print(p.stdout, &e.report)
}

// exist finds folders that are not there before anything is measured.
func (c *evalCmd) exist() error {
	for _, dir := range slices.Concat(c.Folders, []string{c.Reference}) {
		if dir == "" {
			continue
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return exit.Usagef("there is no folder %s", dir)
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
			return nil, exit.Usagef("%s: %v", path, err)
		}
		all = append(all, tasks...)
	}
	return all, nil
}

// evaluation is what all models are measured with.
type evaluation struct {
	evalFlags

	environment *ort.Environment
	text        string
	tasks       []eval.Task
	speed       bool
	report      eval.Report
}

// open loads ONNX Runtime.
func (f *evalFlags) open() (*evaluation, error) {
	if f.Stride == 0 {
		f.Stride = max(1, f.Window/2)
	}
	library, err := setup.FindLibrary(f.ONNXRuntime, setup.CPU)
	if err != nil {
		return nil, err
	}
	environment, err := ort.OpenEnvironment(library)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the library
	}
	return &evaluation{
		evalFlags: *f, environment: environment,
		report: eval.Report{
			Tool: build().Version, Runtime: environment.Version(), Device: f.device().String(), Kernels: !f.NoKernels,
			Window: f.Window, Stride: f.Stride,
		},
	}, nil
}

func (f *evalFlags) device() ort.Device { return ort.Device{Provider: ort.CPU, Threads: f.Threads} }

// readText takes the text to predict; "" for none.
func (e *evaluation) readText(path string) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	sum := sha256.Sum256(data)
	e.text, e.report.Text = string(data), hex.EncodeToString(sum[:])
	return nil
}

// measure measures one model. Its errors name the folder.
func (e *evaluation) measure(ctx context.Context, dir, reference string) (r eval.Result, err error) {
	before := memory.Resident()
	m, about, err := e.load(dir)
	if err != nil {
		return r, err
	}
	defer func() {
		if err = errors.Join(err, m.Session.Close()); err != nil {
			err = fmt.Errorf("%s: %w", dir, err)
		}
	}()
	r = eval.Result{Path: dir, Name: about.Name, Quantization: about.Quantization}
	if r.DiskBytes, err = folderBytes(dir); err != nil {
		return r, err
	}
	if e.speed {
		text := e.text
		if text == "" {
			text = "The quick brown fox jumps over the lazy dog. "
		}
		load := eval.Load{PromptTokens: e.PromptTokens, NewTokens: e.MaxTokens, Runs: e.Runs}
		if most := m.Session.Limits().MaxLength; load.PromptTokens+load.NewTokens > most { // a short context
			load.NewTokens = min(load.NewTokens, most/2)
			load.PromptTokens = most - load.NewTokens
		}
		speed, err := eval.Time(ctx, m, text, load)
		if err != nil {
			return r, err
		}
		r.Speed = &speed
	}
	for _, t := range e.tasks {
		score, err := eval.Score(ctx, m, t)
		if err != nil {
			return r, err
		}
		r.Tasks = append(r.Tasks, score)
	}
	if before > 0 {
		r.Resident = max(0, memory.Resident()-before)
	}
	if e.text != "" {
		err = e.predict(ctx, m, reference, &r)
	}
	return r, err
}

// predict measures the quality of a model over the text.
func (e *evaluation) predict(ctx context.Context, m *eval.Model, reference string, r *eval.Result) (err error) {
	var truth *eval.Model
	if reference != "" {
		if truth, _, err = e.load(reference); err != nil {
			return fmt.Errorf("reference: %w", err)
		}
		defer func() { err = errors.Join(err, truth.Session.Close()) }()
	}
	window := min(e.Window, m.Session.Limits().MaxLength)
	quality, err := eval.Measure(ctx, m, truth, eval.Text{
		Text: e.text, Window: window, Stride: min(e.Stride, window), Limit: e.Windows,
	})
	if err == nil {
		r.Quality = &quality
	}
	return err
}

// load opens a model folder. Its errors name it, or what in it is wrong.
func (e *evaluation) load(dir string) (*eval.Model, model.Manifest, error) {
	folder, err := model.Open(dir)
	if err != nil {
		return nil, model.Manifest{}, err
	}
	tok, err := tokenizer.Load(folder.Dir)
	if err != nil {
		return nil, model.Manifest{}, err //nolint:wrapcheck // it names the file
	}
	about := folder.Manifest
	length := min(about.ContextLength, max(e.Window, e.PromptTokens+e.MaxTokens))
	if len(e.tasks) > 0 {
		length = min(about.ContextLength, max(length, 2048))
	}
	session, err := e.environment.Open(ort.Config{
		Model: folder.ModelPath, Graph: about.Graph, ContextLength: about.ContextLength, Device: e.device(),
		Slots: 1, MaxLength: length, MaxChunk: min(128, length), NoKernels: e.NoKernels,
	})
	if err != nil {
		return nil, about, err //nolint:wrapcheck // it names the model
	}
	return &eval.Model{
		Session: session,
		Encode: func(text string, special bool) ([]uint32, error) {
			return tok.Encode(text, tokenizer.EncodeOptions{AddSpecialTokens: special, Special: tokenizer.SpecialAsText})
		},
	}, about, nil
}

// folderBytes is the size of a folder's files.
func folderBytes(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		total += info.Size()
		return nil
	})
	return total, err
}

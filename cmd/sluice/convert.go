package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluiceml/sluice/cmd/sluice/internal/calibration"
	"github.com/sluiceml/sluice/cmd/sluice/internal/exit"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder"
	"github.com/sluiceml/sluice/tokenizer"
)

type convertCmd struct {
	Source   string `arg:"" help:"GGUF file, Hugging Face folder with config.json and safetensors, or the name of either on a hub: hf://owner/name[@revision][/file.gguf]." placeholder:"SRC"`
	Out      string `required:"" help:"Folder to write." placeholder:"DIR"`
	Quantize string `help:"Form of the weights: auto (a GGUF's own 4- and 8-bit blocks, int8 for anything else), int4 or int8 (blocks), row8 (8-bit rows and activations: the fastest for many requests), fp16 (half the file, float32 when it runs), none (float32)." default:"auto" placeholder:"FORM"`
	formFlags
	Layout string `help:"Whose inputs and outputs the graph has: sluice, or genai, which onnxruntime-genai loads too." enum:"sluice,genai" default:"sluice" placeholder:"LAYOUT"`
	Texts  string `name:"calibration" help:"File of texts, with %% on a line of its own between two, that row8, int4 and pruning are calibrated by. Default: built-in ones." placeholder:"FILE" type:"existingfile"`
	pruneFlags
	Report string `help:"Measure the result over this text, beside the checkpoint in float32, and write report.json into the folder; needs ONNX Runtime." placeholder:"FILE" type:"existingfile"`
	Force  bool   `help:"Replace an existing folder."`
}

// Help implements kong.HelpProvider.
func (convertCmd) Help() string {
	return `Writes model.onnx and its weights, sluice.json, tokenizer.json, generation_config.json, chat_template.jinja and the
licence. Needs no ONNX Runtime. The same source gives the same bytes.

What is named on a hub is fetched into the cache, checked against the hub's hashes, and continued if it was interrupted.
HF_ENDPOINT names another hub than huggingface.co; the token is HF_TOKEN, or that of hf auth login.

Examples:

  sluice convert SmolLM2-135M-Instruct.Q4_1.gguf --out models/small
  sluice convert ./Llama-3.2-1B-Instruct --out models/llama --quantize int8
  sluice convert ./Llama-3.2-1B-Instruct --out models/fast --quantize row8 --calibration our-prompts.txt
  sluice convert ./Llama-3.2-1B-Instruct --out models/four --quantize int4 --calibration our-prompts.txt --lm-head int8
  sluice convert ./Llama-3.2-1B-Instruct --out models/genai --quantize int4 --layout genai
  sluice convert hf://HuggingFaceTB/SmolLM2-135M-Instruct --out models/fetched
  sluice serve --model small=models/small`
}

// Run converts a checkpoint.
func (c *convertCmd) Run(ctx context.Context, p *process) error {
	options, err := c.options(c.Quantize)
	options.Layout = builder.Layout(c.Layout)
	if err = errors.Join(err, options.Check()); err != nil {
		return exit.Usage(err)
	}
	if err := c.checkOut(); err != nil {
		return err
	}
	progress := p.progress()
	defer progress.Close()
	from := conversion{
		source: c.Source, out: c.Out, options: options, texts: c.Texts, pruning: c.pruning(), report: c.Report,
	}
	if err := fetchSource(ctx, &from, progress); err != nil {
		return err
	}
	if err := convert(ctx, from, progress); err != nil {
		if _, ok := errors.AsType[*builder.OptionError](err); ok {
			return exit.Usage(err)
		}
		return err
	}
	_, err = fmt.Fprintln(p.stdout, c.Out)
	return err
}

// checkOut refuses to replace a folder unasked, and anything that is no folder.
func (c *convertCmd) checkOut() error {
	info, err := os.Lstat(c.Out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("convert: %w", err)
	case !info.IsDir():
		return exit.Usagef("--out %s exists and is not a folder", c.Out)
	case !c.Force:
		return exit.Usagef("--out %s exists: add --force to replace it", c.Out)
	}
	return c.checkReplaceable()
}

// checkReplaceable guards against --force on a folder of something else.
func (c *convertCmd) checkReplaceable() error {
	entries, err := os.ReadDir(c.Out)
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(c.Out, model.ManifestName)); err != nil {
		return exit.Usagef("--out %s is not a folder that sluice convert made: remove it yourself or choose another", c.Out)
	}
	return nil
}

// conversion is what to convert into what.
type conversion struct {
	source, out string
	options     builder.Options // without what convert finds out itself
	texts       string          // file of calibration texts; "": the built-in ones
	licences    []string        // files to put beside the model, besides those of the source
	pruning     builder.Pruning // what to leave out
	report      string          // file of a text to measure the result over; "": none

	repository, revision string // of the hub that the source is from; "": it is a path
}

// convert writes a model folder under a temporary name beside its place and renames it when it is whole.
func convert(ctx context.Context, c conversion, progress setup.Progress) (err error) {
	out, err := filepath.Abs(c.out)
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	parent := filepath.Dir(out)
	if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // a model folder is not secret
		return fmt.Errorf("convert: %w", err)
	}
	work, err := os.MkdirTemp(parent, "."+filepath.Base(out)+".*")
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	defer func() {
		if !errors.As(err, new(*strandedError)) { // what is in it exists nowhere else
			err = errors.Join(err, os.RemoveAll(work))
		}
	}()
	fresh := filepath.Join(work, "new")
	if err := write(ctx, c, fresh, progress); err != nil {
		return fmt.Errorf("convert %s: %w", c.source, err)
	}
	return replace(os.Rename, fresh, out, filepath.Join(work, "old"))
}

// strandedError says that the folder that was to be replaced could not be put back.
type strandedError struct {
	out, old string // where it was, and where it is now
	err      error
}

func (e *strandedError) Error() string {
	return fmt.Sprintf("%v\nthe former %s is kept at %s: move it back yourself", e.err, e.out, e.old)
}

func (e *strandedError) Unwrap() error { return e.err }

// replace puts the folder fresh at out; what was there goes to old. If that fails it is put back, or else the error is
// a *strandedError.
func replace(rename func(from, to string) error, fresh, out, old string) error {
	err := rename(out, old)
	replacing := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("convert: %w", err)
	}
	if err := rename(fresh, out); err != nil {
		err = fmt.Errorf("convert: %w", err)
		if replacing {
			if back := rename(old, out); back != nil {
				return &strandedError{out: out, old: old, err: errors.Join(err, back)}
			}
		}
		return err
	}
	return nil
}

// write writes the model folder dir.
func write(ctx context.Context, c conversion, dir string, progress setup.Progress) error {
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // a model folder is not secret
		return err
	}
	assets, err := model.ReadAssets(c.source)
	if err != nil {
		return notConverted(c.source, err)
	}
	assets.Files = append(assets.Files, c.licences...)
	if err := writeTokenizer(assets, dir); err != nil {
		return err
	}
	hashing := progress.Start("reading "+filepath.Base(c.source), 0)
	origin, err := model.ReadOrigin(ctx, c.source)
	hashing.Done(err)
	if err != nil {
		return err
	}
	origin.License = cmp.Or(origin.License, assets.License)
	origin.Repository, origin.Revision = c.repository, c.revision
	c.options.Pooling = assets.Pooling
	pruned, err := buildGraph(ctx, c, dir, assets.Name, origin, progress)
	if err != nil {
		return err
	}
	if err := assets.Write(dir); err != nil {
		return err
	}
	folder, err := model.Open(dir)
	if err != nil {
		return err
	}
	if c.options.Layout == builder.LayoutGenAI {
		if err := folder.Manifest.WriteGenAI(dir, folder.GenerationConfig); err != nil {
			return err
		}
	}
	if c.report == "" {
		return nil
	}
	return writeReport(ctx, c, dir, pruned, progress)
}

// notConverted is why a source whose assets cannot be read is not converted. What is no model that Sluice knows lacks more
// than its tokenizer, which is read first.
func notConverted(source string, err error) error {
	report, unseen := model.Inspect(source)
	if unseen == nil && report.Spec == nil && report.Problem != "" {
		return errors.New(report.Problem)
	}
	return err
}

// buildGraph writes the graph and the weights, and says what was left out.
func buildGraph(
	ctx context.Context, c conversion, dir, name string, origin model.Origin, progress setup.Progress,
) (pruned builder.Pruned, err error) {
	source, err := model.OpenSource(c.source)
	if err != nil {
		return pruned, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	spec := source.Spec()
	if n := c.options.ContextLength; n > 0 {
		spec.ContextLength = min(spec.ContextLength, n)
	}
	if caveat := spec.Caveat(); caveat != "" {
		progress.Note(caveat)
	}
	calibration, err := calibrationTokens(c)
	if err != nil {
		return pruned, err
	}
	if c.prunes() {
		if source, pruned, err = prune(ctx, c, source, calibration, filepath.Dir(dir), progress); err != nil {
			return pruned, err
		}
	}
	bar := &weightsBar{progress: progress}
	options := c.options
	options.Version, options.Name, options.Source = build().Version, name, origin
	options.Calibration, options.Progress, options.Pruned = calibration, bar.update, pruned
	_, err = builder.Build(ctx, source, dir, options)
	bar.done(err)
	return pruned, err
}

// calibrationTokens are the texts that the forms ask for.
func calibrationTokens(c conversion) ([][]uint32, error) {
	if !c.options.Calibrates() && !c.prunes() {
		return nil, nil
	}
	texts := calibration.Texts()
	if c.texts != "" {
		data, err := os.ReadFile(c.texts)
		if err != nil {
			return nil, fmt.Errorf("calibration: %w", err)
		}
		texts = calibration.Split(string(data))
	}
	t, err := loadTokenizer(c.source)
	if err != nil {
		return nil, fmt.Errorf("calibration: %w", err)
	}
	tokens := make([][]uint32, len(texts))
	for i, text := range texts {
		if tokens[i], err = t.Encode(text, tokenizer.EncodeOptions{}); err != nil {
			return nil, fmt.Errorf("calibration: text %d: %w", i+1, err)
		}
	}
	return tokens, nil
}

// weightsBar shows the builder's progress, whose total is known with its first report.
type weightsBar struct {
	progress setup.Progress
	task     setup.Task
	shown    int64
}

func (b *weightsBar) update(done, total int64) {
	if b.task == nil {
		b.task = b.progress.Start("writing weights", total)
	}
	b.task.Add(done - b.shown)
	b.shown = done
}

func (b *weightsBar) done(err error) {
	if b.task != nil {
		b.task.Done(err)
	}
}

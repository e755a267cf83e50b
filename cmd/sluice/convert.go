package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluiceml/sluice/cmd/sluice/internal/conversion"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder"
)

type convertCmd struct {
	Source   string `arg:"" help:"GGUF file, Hugging Face folder with config.json and safetensors, or the name of either on a hub: hf://owner/name[@revision][/file.gguf]." placeholder:"SRC"`
	Out      string `required:"" help:"Folder to write." placeholder:"DIR"`
	Quantize string `help:"Form of the weights: auto (a GGUF's own 4- and 8-bit blocks, int8 for anything else), int4 or int8 (blocks), row8 (8-bit rows and activations: the fastest for long prompts and many requests), fp16 (half the file size, float32 when it runs), none (float32)." default:"auto" placeholder:"FORM"`
	formFlags
	Layout string `help:"Interface of the graph: sluice, or genai, which onnxruntime-genai can load too." enum:"sluice,genai" default:"sluice" placeholder:"LAYOUT"`
	Texts  string `name:"calibration" help:"File of texts for calibrating row8, int4 and pruning, separated by lines of %%. Default: built-in texts." placeholder:"FILE" type:"existingfile"`
	pruneFlags
	Report string `help:"Compare the result with the checkpoint in float32 on this text, and write report.json into the folder; needs ONNX Runtime." placeholder:"FILE" type:"existingfile"`
	Force  bool   `help:"Replace an existing folder."`
}

// Help implements kong.HelpProvider.
func (convertCmd) Help() string {
	return `Writes model.onnx and its weights, sluice.json, tokenizer.json, generation_config.json, chat_template.jinja and the
licence. Needs no ONNX Runtime. The same source and options always give the same bytes.

Checkpoints on a hub are fetched into the cache and checked against the hub's hashes; an interrupted fetch is resumed.
HF_ENDPOINT selects another hub than huggingface.co. The token is HF_TOKEN, or the one of hf auth login.

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
		return usage.Wrap(err)
	}
	if err := c.checkOut(); err != nil {
		return err
	}
	progress := p.progress()
	defer progress.Close()
	from := conversion.Conversion{
		Source: c.Source, Out: c.Out, Replace: c.Force, Options: options, Texts: c.Texts, Pruning: c.pruning(), Report: c.Report,
		Version: build().Version,
	}
	if err := from.Fetch(ctx, progress); err != nil {
		return err
	}
	if err := from.Run(ctx, progress); err != nil {
		if _, ok := errors.AsType[*builder.OptionError](err); ok {
			return usage.Wrap(err)
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
		return usage.Errorf("--out %s exists and is not a folder", c.Out)
	case !c.Force:
		return usage.Errorf("--out %s exists: add --force to replace it", c.Out)
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
		return usage.Errorf("--out %s is not a folder that sluice convert made: remove it yourself or choose another", c.Out)
	}
	return nil
}

package eval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluiceml/sluice/cmd/sluice/internal/memory"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/tokenizer"
)

// Flags are how models are measured.
type Flags struct {
	Window       int    `help:"Tokens per window of the text, including those that the tokenizer adds." default:"512" placeholder:"N"`
	Stride       int    `help:"Tokens between the beginnings of two windows; of each window only the tokens count that the window before did not predict. 0: half a window." default:"0" placeholder:"N"`
	Windows      int    `help:"Most windows, spread over the text; 0: all." default:"0" placeholder:"N"`
	PromptTokens int    `help:"Length of the prompt whose speed is measured." default:"128" placeholder:"N"`
	MaxTokens    int    `help:"Length of the answer whose speed is measured." default:"64" placeholder:"N"`
	Runs         int    `help:"Number of runs, whose median is the speed." default:"3" placeholder:"N"`
	Threads      int    `help:"Threads per model; 0: one per core." default:"0" placeholder:"N"`
	NoKernels    bool   `help:"Use only ONNX Runtime's own operators."`
	ONNXRuntime  string `help:"ONNX Runtime library to load instead of the one in the cache." name:"onnxruntime" placeholder:"FILE"`
}

// Evaluation is what all models are measured with.
type Evaluation struct {
	Tasks  []Task
	Speed  bool // measure it too
	Report Report

	flags       Flags
	environment *ort.Environment
	text        string // to predict; "": none
}

// Open loads ONNX Runtime. tool is the version that the report names.
func Open(f Flags, tool string) (*Evaluation, error) {
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
	return &Evaluation{
		flags: f, environment: environment,
		Report: Report{
			Tool: tool, Runtime: environment.Version(), Device: f.device().String(), Kernels: !f.NoKernels,
			Window: f.Window, Stride: f.Stride,
		},
	}, nil
}

// Close unloads ONNX Runtime.
func (e *Evaluation) Close() error { return e.environment.Close() }

func (f *Flags) device() ort.Device { return ort.Device{Provider: ort.CPU, Threads: f.Threads} }

// ReadText takes the text to predict; "" for none.
func (e *Evaluation) ReadText(path string) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	sum := sha256.Sum256(data)
	e.text, e.Report.Text = string(data), hex.EncodeToString(sum[:])
	return nil
}

// Measure measures one model. Its errors name the folder.
func (e *Evaluation) Measure(ctx context.Context, dir, reference string) (r Result, err error) {
	before := memory.Resident()
	m, about, err := e.load(dir)
	if err != nil {
		return r, err
	}
	defer func() {
		if err = errors.Join(err, m.session.Close()); err != nil {
			err = fmt.Errorf("%s: %w", dir, err)
		}
	}()
	r = Result{Path: dir, Name: about.Name, Quantization: about.Quantization}
	if r.DiskBytes, err = folderBytes(dir); err != nil {
		return r, err
	}
	if e.Speed {
		text := e.text
		if text == "" {
			text = "The quick brown fox jumps over the lazy dog. "
		}
		load := workload{promptTokens: e.flags.PromptTokens, newTokens: e.flags.MaxTokens, runs: e.flags.Runs}
		if most := m.session.Limits().MaxLength; load.promptTokens+load.newTokens > most { // a short context
			load.newTokens = min(load.newTokens, most/2)
			load.promptTokens = most - load.newTokens
		}
		speed, err := measureSpeed(ctx, m, text, load)
		if err != nil {
			return r, err
		}
		r.Speed = &speed
	}
	for _, t := range e.Tasks {
		score, err := scoreTask(ctx, m, t)
		if err != nil {
			return r, err
		}
		r.Tasks = append(r.Tasks, score)
	}
	if before > 0 {
		r.Resident = int64(max(0, memory.Resident()-before))
	}
	if e.text != "" {
		err = e.predict(ctx, m, reference, &r)
	}
	return r, err
}

// predict measures the quality of a model over the text.
func (e *Evaluation) predict(ctx context.Context, m *subject, reference string, r *Result) (err error) {
	var truth *subject
	if reference != "" {
		if truth, _, err = e.load(reference); err != nil {
			return fmt.Errorf("reference: %w", err)
		}
		defer func() { err = errors.Join(err, truth.session.Close()) }()
	}
	window := min(e.flags.Window, m.session.Limits().MaxLength)
	quality, err := measureQuality(ctx, m, truth, passage{
		text: e.text, window: window, stride: min(e.flags.Stride, window), limit: e.flags.Windows,
	})
	if err == nil {
		r.Quality = &quality
	}
	return err
}

// load opens a model folder. Its errors name it, or what in it is wrong.
func (e *Evaluation) load(dir string) (*subject, model.Manifest, error) {
	folder, err := model.Open(dir)
	if err != nil {
		return nil, model.Manifest{}, err
	}
	tok, err := tokenizer.Load(folder.Dir)
	if err != nil {
		return nil, model.Manifest{}, err //nolint:wrapcheck // it names the file
	}
	about := folder.Manifest
	length := min(about.ContextLength, max(e.flags.Window, e.flags.PromptTokens+e.flags.MaxTokens))
	if len(e.Tasks) > 0 {
		length = min(about.ContextLength, max(length, 2048))
	}
	session, err := e.environment.Open(ort.Config{
		Model: folder.ModelPath, Graph: about.Graph, ContextLength: about.ContextLength, Device: e.flags.device(),
		Slots: 1, MaxLength: length, MaxChunk: min(128, length), NoKernels: e.flags.NoKernels,
	})
	if err != nil {
		return nil, about, err //nolint:wrapcheck // it names the model
	}
	return &subject{
		session: session,
		encode: func(text string, special bool) ([]uint32, error) {
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

// Package conversion turns a checkpoint into a model folder: it fetches, prunes, builds, measures, and puts the folder in
// its place when it is whole.
package conversion

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluiceml/sluice/cmd/sluice/internal/calibration"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/tokenizerfile"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder"
	"github.com/sluiceml/sluice/inference/model/safetensors"
	"github.com/sluiceml/sluice/tokenizer"
)

// Conversion is what to convert into what.
type Conversion struct {
	Source   string          // a path, or the name of a checkpoint on a hub, which Fetch puts a path in place of
	Out      string          // the folder to write
	Replace  bool            // the folder may be there: it is replaced, and lost with all that is in it
	Options  builder.Options // without what Run finds out itself
	Texts    string          // file of calibration texts; "": the built-in ones
	Licences []string        // files to put beside the model, besides those of the source
	Pruning  builder.Pruning // what to leave out
	Report   string          // file of a text to measure the result over; "": none
	Version  string          // of Sluice, which the folder names

	repository, revision string // of the hub that the source is from; "": it is a path
}

// Run writes the model folder under a temporary name beside its place and renames it when it is whole, and safe from a loss of
// power. What is wrong with the options is a *builder.OptionError; what else the operator is to mend is a *usage.Error.
func (c Conversion) Run(ctx context.Context, progress setup.Progress) (err error) {
	out, err := filepath.Abs(c.Out)
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	if err := c.checkInputs(out); err != nil {
		return err
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
		return fmt.Errorf("convert %s: %w", c.Source, err)
	}
	if err := syncFolder(fresh); err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	if c.Replace {
		err = replace(os.Rename, fresh, out, filepath.Join(work, "old"))
	} else {
		err = place(fresh, out)
	}
	if err != nil {
		return err
	}
	if err := syncPath(parent); err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	return nil
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
func write(ctx context.Context, c Conversion, dir string, progress setup.Progress) error {
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // a model folder is not secret
		return err
	}
	if report, err := model.Inspect(c.Source); err == nil && report.Use == model.Serve && !hasCheckpoint(c.Source) {
		return fmt.Errorf("it is %s, which is served as it is: sluice serve --model NAME=%s", report.Kind, c.Source)
	}
	assets, err := model.ReadAssets(c.Source)
	if err != nil {
		return notConverted(c.Source, err)
	}
	assets.Files = append(assets.Files, c.Licences...)
	if err := tokenizerfile.Write(assets, dir); err != nil {
		return err
	}
	hashing := progress.Start("reading "+filepath.Base(c.Source), 0)
	origin, err := model.ReadOrigin(ctx, c.Source)
	hashing.Done(err)
	if err != nil {
		return err
	}
	origin.License = cmp.Or(origin.License, assets.License)
	origin.Repository, origin.Revision = c.repository, c.revision
	c.Options.Pooling = assets.Pooling
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
	if c.Options.Layout == builder.LayoutGenAI {
		if err := folder.Manifest.WriteGenAI(dir, folder.GenerationConfig); err != nil {
			return err
		}
	}
	if c.Report == "" {
		return nil
	}
	return writeReport(ctx, c, dir, pruned, progress)
}

// hasCheckpoint says whether a folder holds weights to convert, whatever else there is: repositories on a hub often have them and
// graphs.
func hasCheckpoint(dir string) bool {
	for _, name := range []string{safetensors.SingleName, safetensors.IndexName} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
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
	ctx context.Context, c Conversion, dir, name string, origin model.Origin, progress setup.Progress,
) (pruned builder.Pruned, err error) {
	source, err := model.OpenSource(c.Source)
	if err != nil {
		return pruned, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	spec := source.Spec()
	if n := c.Options.ContextLength; n > 0 {
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
	options := c.Options
	options.Version, options.Name, options.Source = c.Version, name, origin
	options.Calibration, options.Progress, options.Pruned = calibration, bar.update, pruned
	_, err = builder.Build(ctx, source, dir, options)
	bar.done(err)
	return pruned, err
}

// calibrationTokens are the texts that the forms ask for.
func calibrationTokens(c Conversion) ([][]uint32, error) {
	if !c.Options.Calibrates() && !c.prunes() {
		return nil, nil
	}
	texts := calibration.Texts()
	if c.Texts != "" {
		data, err := os.ReadFile(c.Texts)
		if err != nil {
			return nil, fmt.Errorf("calibration: %w", err)
		}
		texts = calibration.Split(string(data))
	}
	t, err := tokenizerfile.Load(c.Source)
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

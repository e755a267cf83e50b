package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluiceml/sluice/cmd/sluice/internal/models"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	"github.com/sluiceml/sluice/inference/model"
)

// modelsToServe are those of --model, without one those of --models-dir, and without that the cache's.
func (f *Flags) modelsToServe() ([]modelFlag, error) {
	switch {
	case len(f.Model) > 0:
		return f.Model, nil
	case f.ModelsDir != "":
		return foldersIn(f.ModelsDir)
	}
	cache, err := setup.DefaultCache()
	if err != nil {
		return nil, err
	}
	dir, err := cache.ModelDir(setup.DefaultModelName)
	if err != nil {
		return nil, err
	}
	return []modelFlag{{name: setup.DefaultModelName, dir: dir}}, nil
}

// cachesModel says whether the model to serve is the one that `sluice setup` makes.
func (f *Flags) cachesModel() bool { return len(f.Model) == 0 && f.ModelsDir == "" }

// foldersIn finds the model folders in a directory and names each after its folder. A directory that is a model folder
// itself is the only one. Hidden folders, as orchestrators make beside what they mount, are passed over.
func foldersIn(dir string) ([]modelFlag, error) {
	dir, err := filepath.Abs(dir) // so that "." has a name
	if err != nil {
		return nil, fmt.Errorf("--models-dir: %w", err)
	}
	if is, err := isModelFolder(dir); err != nil {
		return nil, err
	} else if is {
		return []modelFlag{{name: filepath.Base(dir), dir: dir}}, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--models-dir: %w", err)
	}
	var found []modelFlag
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		if is, err := isModelFolder(path); err != nil {
			return nil, err
		} else if is {
			found = append(found, modelFlag{name: entry.Name(), dir: path})
		}
	}
	if len(found) == 0 {
		return nil, &setup.NotSetUpError{
			What: "a model folder", Path: filepath.Join(dir, "NAME"), Hint: "sluice convert SOURCE --out " + filepath.Join(dir, "NAME"),
		}
	}
	return found, nil
}

// isModelFolder says whether a path is a folder that is served as it is, whoever made it, or a link to one. What cannot be
// looked into is an error: a model that is silently not served is worse.
func isModelFolder(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return false, unlessMissing(err)
	}
	is, err := model.IsFolder(path)
	return is, unlessMissing(err)
}

func unlessMissing(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("--models-dir: %w", err)
}

// folderToServe is a folder to be loaded when the server starts.
type folderToServe struct {
	models.Folder

	err error // why it cannot be served; the server goes on without it
}

// openFolders reads the small files of the models to serve: those of --model and --models-dir, or the cache's.
func (a *App) openFolders() ([]folderToServe, error) {
	flags, err := a.flags.modelsToServe()
	if err != nil {
		return nil, err
	}
	folders := make([]folderToServe, len(flags))
	for i, flag := range flags {
		folder, err := a.openFolder(flag)
		if err != nil && a.flags.ExitOnError {
			return nil, err
		}
		folders[i] = folderToServe{Folder: models.Folder{Name: flag.name, Folder: folder}, err: err}
	}
	return folders, nil
}

// openFolder reads the small files of a model.
func (a *App) openFolder(flag modelFlag) (*model.Folder, error) {
	if _, err := os.Stat(flag.dir); errors.Is(err, fs.ErrNotExist) && !a.flags.cachesModel() {
		return nil, usage.Errorf("model %q: no such folder: %s", flag.name, flag.dir)
	}
	folder, err := model.Open(flag.dir)
	if errors.Is(err, fs.ErrNotExist) && a.flags.cachesModel() {
		return nil, fmt.Errorf("model %q: %w", flag.name, errors.Join(err,
			&setup.NotSetUpError{What: fmt.Sprintf("model %q", flag.name), Path: flag.dir, Hint: "sluice setup"}))
	}
	if err != nil {
		return nil, fmt.Errorf("model %q: %w", flag.name, err)
	}
	return folder, nil
}

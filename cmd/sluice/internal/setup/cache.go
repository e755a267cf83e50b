package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// cacheFormat is the version of the cache's layout. A newer one is refused, an older one is rebuilt.
const cacheFormat = 1

const (
	formatFile  = "format"
	lockFile    = ".lock"
	setupHint   = "sluice setup"
	privateMode = 0o700
)

// Cache is the folder that holds the runtime and the models. It is a path: making one touches nothing.
type Cache struct{ home string }

// DefaultCache is the cache in $SLUICE_HOME, else in the folder `sluice` of the user's cache folder ($XDG_CACHE_HOME,
// else ~/.cache, or ~/Library/Caches on macOS).
func DefaultCache() (Cache, error) {
	if home := os.Getenv("SLUICE_HOME"); home != "" {
		abs, err := filepath.Abs(home)
		if err != nil {
			return Cache{}, fmt.Errorf("SLUICE_HOME: %w", err)
		}
		return Cache{home: abs}, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return Cache{}, fmt.Errorf("no cache folder, set SLUICE_HOME: %w", err)
	}
	return Cache{home: filepath.Join(dir, "sluice")}, nil
}

// Home is the cache folder.
func (c Cache) Home() string { return c.home }

// runtimeLibrary is the path of the ONNX Runtime library for this machine. A missing one is a [NotSetUpError], a cache
// of a newer Sluice a [FormatError].
func (c Cache) runtimeLibrary(provider Provider) (string, error) {
	asset, err := HostRuntime(provider)
	if err != nil {
		return "", err
	}
	hint := setupHint
	if provider != CPU {
		hint += " --device " + string(provider)
	}
	path := filepath.Join(c.folder(asset), asset.Main().Name)
	return path, c.need("the ONNX Runtime library", path, path, hint)
}

// ModelDir is the folder of a converted model. A missing one is a [NotSetUpError], a cache of a newer Sluice a
// [FormatError].
func (c Cache) ModelDir(name string) (string, error) {
	dir := c.modelDir(name)
	return dir, c.need(fmt.Sprintf("model %q", name), dir, filepath.Join(dir, "model.onnx"), setupHint)
}

// need checks that a file is there, in a cache of the right format.
func (c Cache) need(what, path, file, hint string) error {
	missing := &NotSetUpError{What: what, Path: path, Hint: hint}
	format, err := c.format()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing
	case err != nil:
		return err
	case format > cacheFormat:
		return &FormatError{Home: c.home, Found: format, Known: cacheFormat}
	case format < cacheFormat:
		return missing
	}
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing
	case err != nil:
		return fmt.Errorf("looking for %s: %w", what, err)
	case !info.Mode().IsRegular():
		return missing
	}
	return nil
}

// open makes the folder if there is none, for its owner alone. A folder that holds something else is refused: setup
// removes and writes files in it.
func (c Cache) open() error {
	if err := os.MkdirAll(c.home, privateMode); err != nil {
		return fmt.Errorf("making the cache: %w", err)
	}
	entries, err := os.ReadDir(c.home)
	if err != nil {
		return fmt.Errorf("opening the cache: %w", err)
	}
	foreign := slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() != lockFile && !strings.HasPrefix(e.Name(), scratchPrefix)
	})
	isCache := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == formatFile })
	if foreign && !isCache {
		return &ForeignError{Home: c.home}
	}
	if err := os.Chmod(c.home, privateMode); err != nil {
		return fmt.Errorf("making the cache private: %w", err)
	}
	return nil
}

// format reads the version of the cache's layout.
func (c Cache) format() (int, error) {
	path := filepath.Join(c.home, formatFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("reading the cache's format: %w", err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || version < 0 {
		return 0, &CorruptError{Path: path, Reason: "it is not a version number; remove it and run `" + setupHint + "`"}
	}
	return version, nil
}

func (c Cache) folder(a Asset) string       { return filepath.Join(c.home, filepath.FromSlash(a.Folder)) }
func (c Cache) modelDir(name string) string { return filepath.Join(c.home, "models", name) }

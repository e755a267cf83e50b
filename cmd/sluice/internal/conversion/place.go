package conversion

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

// checkInputs refuses to replace a folder that something to be read lies in: it would be lost with the folder.
func (c Conversion) checkInputs(out string) error {
	target, err := filepath.EvalSymlinks(out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	for _, path := range append([]string{c.Source, c.Texts, c.Report}, c.Licences...) {
		if path == "" {
			continue
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return fmt.Errorf("convert: %w", err)
		}
		if resolved, err := filepath.EvalSymlinks(path); err == nil { // else reading it says what is wrong
			path = resolved
		}
		if path == target || strings.HasPrefix(path, strings.TrimSuffix(target, "/")+"/") {
			return usage.Errorf("%s lies in --out %s, which is replaced: choose another folder", path, c.Out)
		}
	}
	return nil
}

// place puts the folder fresh at out, where nothing may be: what has come there meanwhile, of another conversion perhaps, stays.
func place(fresh, out string) error {
	err := os.Rename(fresh, out)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTDIR) { // or a file; ENOTEMPTY is ErrExist too
		return usage.Errorf("--out %s was made by something else meanwhile, and is left unchanged", out)
	}
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	return nil
}

// syncFolder makes the files of a folder durable, and their names: a rename may reach the disk before what it names.
func syncFolder(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(path)
	})
}

// syncPath makes what a file holds durable, or the names in a folder, where the file system has that for folders.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Sync()
	}
	if info != nil && info.IsDir() && (errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP)) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

package setup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// scratchPrefix begins the names of temporary files in the cache: on its own file system, so that a rename is enough.
const scratchPrefix = ".tmp-"

// writeFile writes a small file so that it has its old or its new content, whenever the machine stops.
func writeFile(path, content string) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), scratchPrefix+"*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = temp.WriteString(content)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, errors.Join(err, os.Remove(temp.Name())))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing a folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}

package gguf

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
)

// maxParts is the limit of the files that a model is split into.
const maxParts = 4096

// partName is how gguf-split names the files of a model.
func partName(path string) []string {
	return regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`).FindStringSubmatch(path)
}

// join opens the other files of a model that is split, of which f is the first, and takes their tensors. The metadata
// is that of the first.
func (f *File) join(path string) error {
	count, err := f.splitNumber("split.count")
	if err != nil || count <= 1 {
		return err
	}
	fail := func(format string, args ...any) error {
		return fmt.Errorf("it is one of %d files: %w", count, fmt.Errorf(format, args...))
	}
	number, err := f.splitNumber("split.no")
	if err != nil {
		return err
	}
	name := partName(path)
	switch {
	case count > maxParts:
		return fail("more than %d are not supported", maxParts)
	case name == nil || name[3] != fmt.Sprintf("%05d", count):
		return fail("its name does not end in -00001-of-%05d.gguf", count)
	case number != 0 || name[2] != "00001":
		return fail("open the first one, %s", filepath.Base(partPath(name[1], 1, count)))
	}
	f.parts = []string{path}
	for i := 2; i <= count; i++ {
		if err := f.add(partPath(name[1], i, count), i-1); err != nil {
			return fail("%w", err)
		}
	}
	if total, err := f.splitNumber("split.tensors.count"); err != nil || total != 0 && total != len(f.tensors) {
		return errors.Join(err, fail("they hold %d tensors together, not %d", len(f.tensors), total))
	}
	return nil
}

// partPath is the path of a file of a model.
func partPath(stem string, number, count int) string {
	return fmt.Sprintf("%s-%05d-of-%05d.gguf", stem, number, count)
}

// add opens the file at path, whose number is to be number, and takes its tensors.
func (f *File) add(path string, number int) error {
	part, err := open(path)
	if err != nil {
		return err
	}
	f.others = append(f.others, part) // closed with f, whatever comes
	f.parts = append(f.parts, path)
	if n, err := part.splitNumber("split.no"); err != nil || n != number {
		return errors.Join(err, fmt.Errorf("%s says that it is file %d, not %d", path, n+1, number+1))
	}
	if len(f.tensors)+len(part.tensors) > maxTensors {
		return fmt.Errorf("more than %d tensors", maxTensors)
	}
	for _, t := range part.tensors {
		if _, ok := f.index[t.Name]; ok {
			return fmt.Errorf("%s holds the tensor %q again", path, t.Name)
		}
		f.index[t.Name] = len(f.tensors)
		f.tensors = append(f.tensors, t)
	}
	return nil
}

// splitNumber reads a number of the metadata about a split; 0: the key is not there.
func (f *File) splitNumber(key string) (int, error) {
	v, ok := f.values[key]
	if !ok {
		return 0, nil
	}
	n, err := v.Uint()
	if err == nil && n > 1<<31-1 {
		err = errors.New(strconv.FormatUint(n, 10) + " is too large")
	}
	if err != nil {
		return 0, &FormatError{What: fmt.Sprintf("metadata %q", key), Err: err}
	}
	return int(n), nil
}

// Parts lists the paths of the files of a model that is split, in order; nil of one that is not.
func (f *File) Parts() []string { return f.parts }

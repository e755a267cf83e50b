package safetensors

import (
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The names that a folder's files have by convention.
const (
	SingleName = "model.safetensors"
	IndexName  = "model.safetensors.index.json"
)

// The limits of a folder's index.
const (
	maxIndex  = 64 << 20 // bytes
	maxShards = 4096
)

// Folder is an opened set of safetensors files: one, or the shards of an index. It is safe for concurrent use until
// Close.
type Folder struct {
	names  []string // of the shards, sorted, without their folder
	shards map[string]*File
	where  map[string]string // tensor → shard
}

// index is what IndexName holds.
type index struct {
	WeightMap map[string]string `json:"weight_map"`
}

// OpenFolder opens the model in dir: model.safetensors.index.json and the shards that it names, else
// model.safetensors. A folder with neither gives an error for which errors.Is(err, fs.ErrNotExist).
func OpenFolder(dir string) (*Folder, error) {
	f := &Folder{shards: map[string]*File{}, where: map[string]string{}}
	data, err := readSmall(filepath.Join(dir, IndexName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = f.open(dir, SingleName)
		if err == nil {
			f.indexAll(SingleName)
		}
	case err == nil:
		err = f.openShards(dir, data)
	}
	if err != nil {
		_ = f.Close() // the reason is err
		return nil, err
	}
	return f, nil
}

// readSmall reads a file of at most maxIndex bytes.
func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, fmt.Errorf("read %s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(f, maxIndex+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > maxIndex {
		return nil, fmt.Errorf("read %s: over the limit of %d bytes", path, maxIndex)
	}
	return data, nil
}

// open opens one shard.
func (f *Folder) open(dir, name string) error {
	shard, err := open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	f.names = append(f.names, name)
	f.shards[name] = shard
	return nil
}

// indexAll says that every tensor of a shard belongs to the folder.
func (f *Folder) indexAll(shard string) {
	for name := range f.shards[shard].tensors {
		f.where[name] = shard
	}
}

// openShards opens what an index names and checks that each tensor is where the index says.
func (f *Folder) openShards(dir string, data []byte) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w", filepath.Join(dir, IndexName), fmt.Errorf(format, args...))
	}
	var idx index
	if err := json.Unmarshal(data, &idx); err != nil {
		return fail("%w", err)
	}
	if len(idx.WeightMap) == 0 {
		return fail("weight_map is empty")
	}
	var names []string
	seen := map[string]bool{}
	for _, shard := range idx.WeightMap {
		if seen[shard] {
			continue
		}
		// A name with a path could reach any file of the system.
		if shard != filepath.Base(shard) || !strings.HasSuffix(shard, ".safetensors") {
			return fail("weight_map names the file %.80q, want a *.safetensors in the same folder", shard)
		}
		seen[shard] = true
		names = append(names, shard)
	}
	if len(names) > maxShards {
		return fail("%d shards, over the limit of %d", len(names), maxShards)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := f.open(dir, name); err != nil {
			return fail("%w", err)
		}
	}
	for tensor, shard := range idx.WeightMap {
		if _, ok := f.shards[shard].Tensor(tensor); !ok {
			return fail("tensor %.80q is not in %s", tensor, shard)
		}
	}
	f.where = idx.WeightMap
	return nil
}

// Tensor finds a tensor by its name.
func (f *Folder) Tensor(name string) (Tensor, bool) {
	shard, ok := f.where[name]
	if !ok {
		return Tensor{}, false
	}
	return f.shards[shard].Tensor(name)
}

// Tensors yields the tensors in the order of their names.
func (f *Folder) Tensors() iter.Seq[Tensor] {
	return func(yield func(Tensor) bool) {
		for _, name := range slices.Sorted(maps.Keys(f.where)) {
			if !yield(f.shards[f.where[name]].tensors[name]) {
				return
			}
		}
	}
}

// Files lists the names of the folder's safetensors files, sorted.
func (f *Folder) Files() []string { return slices.Clone(f.names) }

// Close unmaps the files. What came from them must not be used after.
func (f *Folder) Close() error {
	var errs []error
	for _, name := range f.names {
		errs = append(errs, f.shards[name].Close())
	}
	return errors.Join(errs...)
}

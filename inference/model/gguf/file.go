// Package gguf reads GGUF files, versions 2 and 3, little-endian: their metadata and where their tensors lie.
//
// A file is foreign bytes. Every count, length, offset and product is checked against the bytes that are there before
// anything is allocated for it, so that the memory taken is a small multiple of the metadata's own size, whatever
// the file claims. Values and weights are not copied on opening: they are decoded when asked for, from the mapped
// file.
package gguf

import (
	"errors"
	"fmt"
	"iter"

	"github.com/sluiceml/sluice/inference/model/internal/mmap"
	"github.com/sluiceml/sluice/inference/model/quant"
)

// The limits of what a file may declare. Real files stay far below them.
const (
	maxValues     = 1 << 16 // metadata pairs
	maxTensors    = 1 << 18
	maxKey        = 1<<16 - 1 // bytes, by the format's definition
	maxTensorName = 1 << 10   // bytes; GGML's own limit is 64
	maxDimensions = 4
	maxDepth      = 8       // arrays within arrays
	maxAlignment  = 1 << 20 // bytes
)

// defaultAlignment is what the tensors' offsets are multiples of unless general.alignment says otherwise.
const defaultAlignment = 32

// File is an opened GGUF file. It is safe for concurrent use until Close.
type File struct {
	mapped  *mmap.File // nil: parsed from memory
	others  []*File    // the other files of a model that is split
	parts   []string   // their paths, and the first one's
	version uint32
	keys    []string
	values  map[string]Value
	tensors []Tensor
	index   map[string]int // into tensors
}

// Tensor is a stored weight.
type Tensor struct {
	Name  string
	Shape []int // outermost dimension first: a file's dimensions reversed
	Type  quant.Type
	Data  []byte // valid until the file is closed; must not be written to
}

// FormatError says what is wrong with a file, and where.
type FormatError struct {
	Offset int64  // bytes from the start of the file to what could not be read
	What   string // the part of the file, e.g. `tensor "output.weight"`
	Err    error
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("GGUF: %s, at byte %d: %v", e.What, e.Offset, e.Err)
}

// Unwrap gives the reason.
func (e *FormatError) Unwrap() error { return e.Err }

// Open maps the file at path and reads its metadata. A file that is not sound is refused with a *FormatError. Of a model
// that is split into files, path is the first one, NAME-00001-of-N.gguf, and the others lie beside it.
func Open(path string) (*File, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	if err := f.join(path); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), f.Close())
	}
	return f, nil
}

// open maps one file.
func open(path string) (*File, error) {
	m, err := mmap.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open GGUF: %w", err)
	}
	f, err := Parse(m.Bytes())
	if err != nil {
		_ = m.Close() // the reason is err
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f.mapped = m
	return f, nil
}

// Close unmaps the file. What came from it must not be used after.
func (f *File) Close() error {
	var errs error
	for _, other := range f.others {
		errs = errors.Join(errs, other.Close())
	}
	if f.mapped == nil {
		return errs
	}
	if err := f.mapped.Close(); err != nil {
		errs = errors.Join(errs, fmt.Errorf("close GGUF: %w", err))
	}
	return errs
}

// Version is the format's version: 2 or 3.
func (f *File) Version() int { return int(f.version) }

// Value finds a metadata value by its key.
func (f *File) Value(key string) (Value, bool) {
	v, ok := f.values[key]
	return v, ok
}

// Keys yields the metadata's keys in the file's order.
func (f *File) Keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, key := range f.keys {
			if !yield(key) {
				return
			}
		}
	}
}

// Tensor finds a tensor by its name.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.index[name]
	if !ok {
		return Tensor{}, false
	}
	return f.tensors[i], true
}

// Tensors yields the tensors in the file's order.
func (f *File) Tensors() iter.Seq[Tensor] {
	return func(yield func(Tensor) bool) {
		for _, t := range f.tensors {
			if !yield(t) {
				return
			}
		}
	}
}

// Package safetensors reads safetensors files and folders of them: which tensors there are and where they lie.
//
// A file is foreign bytes. Its sizes, offsets and shapes are checked against the bytes that are there before
// anything is allocated for them; tensors are not copied but point into the mapped file. The rules are those of the
// format's reference implementation: the tensors cover the data without holes or overlaps, and no name is there
// twice.
package safetensors

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluiceml/sluice/inference/model/internal/mmap"
)

// The limits of what a file may declare.
const (
	maxHeader     = 100_000_000 // bytes, the reference implementation's limit
	maxTensors    = 1 << 18
	maxDimensions = 8
)

// Tensor is a stored tensor.
type Tensor struct {
	Name  string
	DType string // as the file says it: "F32", "F16", "BF16", "I64", …
	Shape []int  // outermost dimension first; empty for a scalar
	Data  []byte // row-major, little-endian; valid until the file is closed; must not be written to
}

// FormatError says what is wrong with a file.
type FormatError struct {
	What string // the part of the file, e.g. `tensor "lm_head.weight"`
	Err  error
}

func (e *FormatError) Error() string { return fmt.Sprintf("safetensors: %s: %v", e.What, e.Err) }

// Unwrap gives the reason.
func (e *FormatError) Unwrap() error { return e.Err }

// File is an opened safetensors file. It is safe for concurrent use until Close.
type File struct {
	mapped   *mmap.File // nil: parsed from memory
	tensors  map[string]Tensor
	metadata map[string]string
}

// open maps the file at path and reads its header. A file that is not sound is refused with a *FormatError.
func open(path string) (*File, error) {
	m, err := mmap.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open safetensors: %w", err)
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
	if f.mapped == nil {
		return nil
	}
	if err := f.mapped.Close(); err != nil {
		return fmt.Errorf("close safetensors: %w", err)
	}
	return nil
}

// Tensor finds a tensor by its name.
func (f *File) Tensor(name string) (Tensor, bool) {
	t, ok := f.tensors[name]
	return t, ok
}

// Names lists the tensors' names, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.tensors)) }

// Metadata gives a text of the file's "__metadata__".
func (f *File) Metadata(key string) (string, bool) {
	text, ok := f.metadata[key]
	return text, ok
}

// Package mmap maps files into memory for reading, so that a checkpoint's weights cost no memory of their own.
package mmap

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// File is a file mapped for reading. The bytes are valid until Close; a file that another process cuts short while
// it is mapped faults the reader, so nothing that serves requests may hold one.
type File struct {
	data []byte
}

// Open maps the file at path. An empty file has no bytes and is no error; a folder or a device is one.
func Open(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, fmt.Errorf("open %s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only; the mapping outlives it
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	size := info.Size()
	if size == 0 {
		return &File{}, nil
	}
	if size > math.MaxInt {
		return nil, fmt.Errorf("open %s: %d bytes do not fit the address space", path, size)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: path, Err: err}
	}
	return &File{data: data}, nil
}

// Bytes is the file's contents. They must not be written to.
func (f *File) Bytes() []byte { return f.data }

// Close unmaps the file. A second Close does nothing.
func (f *File) Close() error {
	data := f.data
	f.data = nil
	if data == nil {
		return nil
	}
	if err := unix.Munmap(data); err != nil {
		return fmt.Errorf("munmap: %w", err)
	}
	return nil
}

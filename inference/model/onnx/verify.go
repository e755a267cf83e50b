package onnx

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
)

// Verify checks that every initializer has the bytes that its shape needs, inside the model or inside its data file.
// size gives the length of a data file by its location, which is a name inside the model's folder: a location that
// leads out of the folder is refused before size is called. All faults are returned, each wrapping ErrMalformed
// except those of size itself.
func (m *Model) Verify(size func(location string) (int64, error)) error {
	sizes := map[string]int64{}
	var faults []error
	for i := range m.Graph.Initializers {
		t := &m.Graph.Initializers[i]
		if err := t.verify(sizes, size); err != nil {
			faults = append(faults, fmt.Errorf("initializer %q: %w", t.Name, err))
		}
	}
	return errors.Join(faults...)
}

func (t *Tensor) verify(sizes map[string]int64, size func(string) (int64, error)) error {
	want, err := t.ByteSize()
	if err != nil {
		return err
	}
	if t.External == nil {
		// A model that holds values in typed fields has no raw bytes; their number can't be told from here.
		if len(t.Raw) != 0 && int64(len(t.Raw)) != want {
			return fmt.Errorf("%w: %d bytes for a shape that needs %d", ErrMalformed, len(t.Raw), want)
		}
		return nil
	}
	e := t.External
	if !filepath.IsLocal(e.Location) {
		return fmt.Errorf("%w: its data file %q is not inside the model's folder", ErrMalformed, e.Location)
	}
	end, ok := sizes[e.Location]
	if !ok {
		if end, err = size(e.Location); err != nil {
			return err
		}
		sizes[e.Location] = end
	}
	length := e.Length
	if length == 0 { // left out: to the end of the file
		length = end - e.Offset
	}
	switch {
	case e.Offset < 0 || e.Offset > end || length < 0 || length > end-e.Offset:
		return fmt.Errorf("%w: bytes %d to %d+%d of %s, which has %d", ErrMalformed, e.Offset, e.Offset, length,
			e.Location, end)
	case length < want || e.Length != 0 && length != want:
		return fmt.Errorf("%w: %d bytes for a shape that needs %d", ErrMalformed, length, want)
	}
	return nil
}

// ByteSize is the number of bytes that the tensor's shape and type need.
func (t *Tensor) ByteSize() (int64, error) {
	bits := t.Type.Bits()
	if bits == 0 {
		return 0, fmt.Errorf("%w: elements of %v", ErrMalformed, t.Type)
	}
	n := int64(1)
	for _, d := range t.Dims {
		if d < 0 || d != 0 && n > math.MaxInt64/64/d {
			return 0, fmt.Errorf("%w: shape %v", ErrMalformed, t.Dims)
		}
		n *= d
	}
	return (n*int64(bits) + 7) / 8, nil
}

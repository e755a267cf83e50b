package gguf

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sluiceml/sluice/inference/model/quant"
)

// entry is a tensor as the header tells it.
type entry struct {
	tensor Tensor
	offset uint64 // from the start of the data
	size   int
	at     int // of the entry in the header
}

// Parse reads a GGUF file from memory. The File keeps data, which must not change; Close does nothing.
func Parse(data []byte) (*File, error) {
	c := &cursor{data: data}
	f := &File{}
	f.version = c.version()
	tensors := c.count("the number of tensors", 24, maxTensors)
	values := c.count("the number of metadata values", 13, maxValues)
	f.readValues(c, values)
	entries := c.entries(tensors)
	if c.err != nil {
		return nil, c.err
	}
	if err := f.place(c, entries); err != nil {
		return nil, err
	}
	return f, nil
}

// version reads the magic number and the version.
func (c *cursor) version() uint32 {
	if magic := c.take(4, "the magic number"); c.err == nil && string(magic) != "GGUF" {
		c.failAt(0, "the magic number", fmt.Errorf("the file starts with %q, not \"GGUF\"", magic))
	}
	v := c.uint32("the version")
	switch {
	case c.err != nil || v == 2 || v == 3:
	case v&0xffff == 0 && v != 0: // 3 the other way round is 0x03000000
		c.failAt(4, "the version", errors.New("big-endian files are not supported"))
	default:
		c.failAt(4, "the version", fmt.Errorf("%d is not supported, only 2 and 3 are", v))
	}
	return v
}

// readValues reads the metadata.
func (f *File) readValues(c *cursor, n int) {
	f.values = make(map[string]Value, n)
	for i := range n {
		at := c.at
		key := c.name(fmt.Sprintf("the key of metadata value %d", i), maxKey)
		what := fmt.Sprintf("metadata %q", key)
		v := c.value(what, Kind(c.uint32(what)), 0)
		if c.err != nil {
			return
		}
		if _, ok := f.values[key]; ok {
			c.failAt(at, what, errors.New("the key is there twice"))
			return
		}
		f.values[key] = v
		f.keys = append(f.keys, key)
	}
}

// entries reads the descriptions of n tensors.
func (c *cursor) entries(n int) []entry {
	if c.err != nil {
		return nil
	}
	entries := make([]entry, n)
	for i := range entries {
		entries[i] = c.entry(i)
		if c.err != nil {
			return nil
		}
	}
	return entries
}

// entry reads the description of a tensor.
func (c *cursor) entry(i int) entry {
	e := entry{at: c.at}
	e.tensor.Name = c.name(fmt.Sprintf("the name of tensor %d", i), maxTensorName)
	what := fmt.Sprintf("tensor %q", e.tensor.Name)
	dimensions := c.uint32(what)
	if c.err == nil && (dimensions < 1 || dimensions > maxDimensions) {
		c.failAt(c.at-4, what, fmt.Errorf("it has %d dimensions, 1 to %d are supported", dimensions, maxDimensions))
	}
	if c.err != nil {
		return e
	}
	e.tensor.Shape = make([]int, dimensions)
	for d := range e.tensor.Shape {
		size := c.uint64(what)
		if c.err == nil && (size < 1 || size > math.MaxInt32) {
			c.failAt(c.at-8, what, fmt.Errorf("dimension %d is %d, it must be 1 to %d", d, size, math.MaxInt32))
		}
		e.tensor.Shape[len(e.tensor.Shape)-1-d] = int(size)
	}
	at := c.at
	number := c.uint32(what)
	e.offset = c.uint64(what)
	if c.err != nil {
		return e
	}
	var err error
	if e.tensor.Type, err = typeOf(number); err != nil {
		c.failAt(at, what, err)
		return e
	}
	if e.size, err = e.tensor.Type.Bytes(e.tensor.Shape); err != nil {
		c.failAt(e.at, what, err)
	}
	return e
}

// place finds the tensors' data, which follows the header: aligned, within the file, no two sharing a byte.
func (f *File) place(c *cursor, entries []entry) error {
	alignment, err := f.alignment()
	if err != nil {
		return err
	}
	var data []byte
	if start := (c.at + alignment - 1) / alignment * alignment; start < len(c.data) {
		data = c.data[start:]
	}
	f.tensors = make([]Tensor, len(entries))
	f.index = make(map[string]int, len(entries))
	for i, e := range entries {
		what := fmt.Sprintf("tensor %q", e.tensor.Name)
		fail := func(format string, args ...any) error {
			return &FormatError{Offset: int64(e.at), What: what, Err: fmt.Errorf(format, args...)}
		}
		if _, ok := f.index[e.tensor.Name]; ok {
			return fail("the name is there twice")
		}
		if e.offset%uint64(alignment) != 0 {
			return fail("its offset %d is not a multiple of %d", e.offset, alignment)
		}
		if e.offset > uint64(len(data)) || uint64(e.size) > uint64(len(data))-e.offset {
			return fail("%w: %d bytes at %d of %d bytes of data", errTruncated, e.size, e.offset, len(data))
		}
		end := int(e.offset) + e.size
		e.tensor.Data = data[e.offset:end:end]
		f.tensors[i] = e.tensor
		f.index[e.tensor.Name] = i
	}
	return disjoint(entries)
}

// disjoint refuses tensors that share bytes.
func disjoint(entries []entry) error {
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.offset, b.offset) })
	for i := 1; i < len(entries); i++ {
		before, e := entries[i-1], entries[i]
		if e.offset < before.offset+uint64(before.size) {
			return &FormatError{
				Offset: int64(e.at), What: fmt.Sprintf("tensor %q", e.tensor.Name),
				Err: fmt.Errorf("its data overlaps that of %q", before.tensor.Name),
			}
		}
	}
	return nil
}

// alignment is what the offsets of tensors are multiples of.
func (f *File) alignment() (int, error) {
	v, ok := f.values["general.alignment"]
	if !ok {
		return defaultAlignment, nil
	}
	fail := func(err error) error {
		return &FormatError{Offset: 0, What: `metadata "general.alignment"`, Err: err}
	}
	if v.kind != Uint32 {
		return 0, fail(v.wrong("a uint32"))
	}
	n := binary.LittleEndian.Uint32(v.data)
	if n == 0 || n&(n-1) != 0 || n > maxAlignment {
		return 0, fail(fmt.Errorf("%d is not a power of two up to %d", n, maxAlignment))
	}
	return int(n), nil
}

// UnsupportedTypeError says that a file holds weights in a form that cannot be read.
type UnsupportedTypeError struct {
	Number uint32 // GGML's number of the type
	Name   string // GGML's name, empty if the number is unknown
}

func (e *UnsupportedTypeError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("its type %d is unknown", e.Number)
	}
	return fmt.Sprintf("its type %s is not supported yet", e.Name)
}

// typeOf translates GGML's number of a type.
func typeOf(number uint32) (quant.Type, error) {
	switch number {
	case 0:
		return quant.F32, nil
	case 1:
		return quant.F16, nil
	case 2:
		return quant.Q4_0, nil
	case 3:
		return quant.Q4_1, nil
	case 6:
		return quant.Q5_0, nil
	case 7:
		return quant.Q5_1, nil
	case 8:
		return quant.Q8_0, nil
	case 10:
		return quant.Q2_K, nil
	case 11:
		return quant.Q3_K, nil
	case 12:
		return quant.Q4_K, nil
	case 13:
		return quant.Q5_K, nil
	case 14:
		return quant.Q6_K, nil
	case 20:
		return quant.IQ4_NL, nil
	case 23:
		return quant.IQ4_XS, nil
	case 30:
		return quant.BF16, nil
	default:
		return 0, &UnsupportedTypeError{Number: number, Name: otherName(number)}
	}
}

// otherName is GGML's name of a type that cannot be read, empty if there is none.
func otherName(number uint32) string {
	names := map[uint32]string{
		4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS",
		18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S", 22: "IQ2_S", 24: "I8", 25: "I16", 26: "I32",
		27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
	}
	return names[number]
}

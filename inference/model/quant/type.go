// Package quant knows the forms in which weights are stored: plain floats and GGML's quantised blocks. It says how
// large a block is and turns blocks back into float32.
//
// The block layouts are GGML's (ggml-common.h and ggml-quants.c); every result equals gguf-py's gguf.quants bit for
// bit, which the goldens in testdata hold. Those of the 8-bit floats are PyTorch's.
package quant

import (
	"errors"
	"fmt"
	"math"
)

// Type is a form of stored weights. Its zero value is no type.
type Type uint8

// The types whose values Dequantize can give.
const (
	F32     Type = iota + 1 // IEEE 754 single
	F16                     // IEEE 754 half
	BF16                    // the upper half of a single
	Q8_0                    // blocks of 32: half scale, 32 int8
	Q4_0                    // blocks of 32: half scale, 32 × 4 bits less 8
	Q4_1                    // blocks of 32: half scale and minimum, 32 × 4 bits
	Q5_0                    // blocks of 32: half scale, fifth bits, 32 × 4 bits less 16
	Q5_1                    // blocks of 32: half scale and minimum, fifth bits, 32 × 4 bits
	Q4_K                    //nolint:staticcheck // GGML's name. Blocks of 256: 8 sub-blocks with 6-bit scales and minima, 4-bit values
	Q5_K                    //nolint:staticcheck // GGML's name. As Q4_K with 5-bit values
	Q6_K                    //nolint:staticcheck // GGML's name. Blocks of 256: 16 sub-blocks with 8-bit scales, 6-bit values less 32
	Q2_K                    //nolint:staticcheck // GGML's name. Blocks of 256: 16 sub-blocks with 4-bit scales and minima, 2-bit values
	Q3_K                    //nolint:staticcheck // GGML's name. Blocks of 256: 16 sub-blocks with 6-bit scales, 3-bit values less 4
	IQ4_NL                  //nolint:staticcheck // GGML's name. Blocks of 32: half scale, 32 × 4 bits that number values of a table
	IQ4_XS                  //nolint:staticcheck // GGML's name. Blocks of 256: 8 sub-blocks with 6-bit scales, values as in IQ4_NL
	F8_E4M3                 //nolint:staticcheck // safetensors' name. 4 bits of exponent, no infinities
	F8_E5M2                 //nolint:staticcheck // safetensors' name. The upper half of a half
)

// last is the last of them.
const last = F8_E5M2

// superBlock is the number of values in a block of the K types.
const superBlock = 256

// format is what a Type means.
type format struct {
	name  string
	size  int // values in a block
	bytes int // bytes in a block
	// decode decodes one block: dst has size values, b has bytes bytes. If size is 1 it decodes any number of them.
	decode func(dst []float32, b []byte)
}

// format looks t up. A type that is none of the constants has a format without values.
func (t Type) format() format {
	switch t {
	case F32:
		return format{"F32", 1, 4, valuesF32}
	case F16:
		return format{"F16", 1, 2, valuesF16}
	case BF16:
		return format{"BF16", 1, 2, valuesBF16}
	case Q8_0:
		return format{"Q8_0", 32, 2 + 32, blockQ80}
	case Q4_0:
		return format{"Q4_0", 32, 2 + 16, blockQ40}
	case Q4_1:
		return format{"Q4_1", 32, 2 + 2 + 16, blockQ41}
	case Q5_0:
		return format{"Q5_0", 32, 2 + 4 + 16, blockQ50}
	case Q5_1:
		return format{"Q5_1", 32, 2 + 2 + 4 + 16, blockQ51}
	case Q4_K:
		return format{"Q4_K", superBlock, 2 + 2 + 12 + 128, blockQ4K}
	case Q5_K:
		return format{"Q5_K", superBlock, 2 + 2 + 12 + 32 + 128, blockQ5K}
	case Q6_K:
		return format{"Q6_K", superBlock, 128 + 64 + 16 + 2, blockQ6K}
	case Q2_K:
		return format{"Q2_K", superBlock, 16 + 64 + 2 + 2, blockQ2K}
	case Q3_K:
		return format{"Q3_K", superBlock, 32 + 64 + 12 + 2, blockQ3K}
	case IQ4_NL:
		return format{"IQ4_NL", 32, 2 + 16, blockIQ4NL}
	case IQ4_XS:
		return format{"IQ4_XS", superBlock, 2 + 2 + 4 + 128, blockIQ4XS}
	case F8_E4M3:
		return format{"F8_E4M3", 1, 1, valuesF8E4M3}
	case F8_E5M2:
		return format{"F8_E5M2", 1, 1, valuesF8E5M2}
	default:
		return format{name: fmt.Sprintf("Type(%d)", uint8(t))}
	}
}

// Types lists every type, in the order of the constants.
func Types() []Type {
	all := make([]Type, 0, last)
	for t := F32; t <= last; t++ {
		all = append(all, t)
	}
	return all
}

// String is GGML's name for the type, or safetensors'.
func (t Type) String() string { return t.format().name }

// BlockSize is the number of values in a block: 1 for the plain floats, 0 for no type.
func (t Type) BlockSize() int { return t.format().size }

// BlockBytes is the number of bytes in a block, 0 for no type.
func (t Type) BlockBytes() int { return t.format().bytes }

// Bytes is the number of bytes that a tensor of shape takes, outermost dimension first. Rows are whole blocks. It
// refuses dimensions below one and products over the range of int.
func (t Type) Bytes(shape []int) (int, error) {
	f := t.format()
	if f.size == 0 {
		return 0, fmt.Errorf("no such type of weights: %v", t)
	}
	if len(shape) == 0 {
		return 0, errors.New("a shape without dimensions")
	}
	row := shape[len(shape)-1]
	if row < 1 {
		return 0, fmt.Errorf("shape %v has a dimension below 1", shape)
	}
	if row%f.size != 0 {
		return 0, fmt.Errorf("a row of %d values is not a whole number of %v blocks of %d", row, t, f.size)
	}
	total := row / f.size
	if total > math.MaxInt/f.bytes {
		return 0, fmt.Errorf("shape %v is too large", shape)
	}
	total *= f.bytes
	for _, n := range shape[:len(shape)-1] {
		if n < 1 {
			return 0, fmt.Errorf("shape %v has a dimension below 1", shape)
		}
		if total > math.MaxInt/n {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		total *= n
	}
	return total, nil
}

// Dequantize writes the values of the blocks in data to dst. The lengths must agree: len(dst) is a multiple of
// t.BlockSize(), and data holds exactly its blocks. It keeps neither slice.
func Dequantize(dst []float32, t Type, data []byte) error {
	f := t.format()
	if f.size == 0 {
		return fmt.Errorf("dequantize: no such type of weights: %v", t)
	}
	if len(dst)%f.size != 0 {
		return fmt.Errorf("dequantize: %d values are not a whole number of %v blocks of %d", len(dst), t, f.size)
	}
	if blocks := len(dst) / f.size; len(data)%f.bytes != 0 || len(data)/f.bytes != blocks {
		return fmt.Errorf("dequantize: %d bytes of %v for %d values, want %d blocks of %d bytes", len(data), t, len(dst),
			blocks, f.bytes)
	}
	if f.size == 1 {
		f.decode(dst, data)
		return nil
	}
	for len(dst) > 0 {
		f.decode(dst[:f.size], data[:f.bytes])
		dst, data = dst[f.size:], data[f.bytes:]
	}
	return nil
}

package kernels

/*
#cgo CFLAGS: -O3
#include <stdlib.h>
#include "kernels.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// Supported says whether this processor has what the kernels are written for.
func Supported() bool { return C.sluice_supported() != 0 }

// Weights are a matrix as MatMulNBits has them: Codes [Out, In/BlockLength, BlockLength·Bits/8], Scales
// [Out, In/BlockLength]. A weight is its scale times (code - 2^(Bits-1)), plus its offset if there are Offsets, of
// Scales' shape. Gated makes the product silu(gate)·other, [tokens, Out/2]: the first half of the rows are gates.
type Weights struct {
	Out, In int
	Bits    int // 4 or 8
	Codes   []byte
	Scales  []float32
	Offsets []float32
	Bias    []float32 // [Out]; nil: none
	Gated   bool
}

// MaxBytes is the most memory that a matrix of the weights takes: less where scales and minima are binary16 numbers.
func (w Weights) MaxBytes() int {
	columns := (w.Out + C.tile_columns - 1) / C.tile_columns * C.tile_columns
	if w.Gated {
		columns = 2 * ((w.Out/2 + C.tile_columns - 1) / C.tile_columns * C.tile_columns)
	}
	return columns * (w.In / BlockLength) * (BlockLength*w.Bits/8 + 2*C.sizeof_float)
}

// Matrix is weights in the order in which the kernels read them. It is read only and may be shared.
type Matrix struct{ c *C.matrix }

// Pack makes a matrix, which the caller closes, at the beginning of memory: outside Go's heap, zero, of at least
// [Weights.MaxBytes], from a multiple of 64 on. It stays the caller's, who frees it after the matrix.
func Pack(w Weights, memory []byte) (*Matrix, error) {
	blocks := w.In / BlockLength
	n := w.Out * blocks
	switch {
	case w.Out < 1 || w.Out > MaxSide || w.In < 1 || w.In > MaxSide || w.In%BlockLength != 0 || w.Bits != 4 && w.Bits != 8:
		return nil, fmt.Errorf("kernels: a matrix of %d by %d weights of %d bits", w.Out, w.In, w.Bits)
	case len(w.Codes) != n*BlockLength*w.Bits/8 || len(w.Scales) != n || w.Offsets != nil && len(w.Offsets) != n ||
		w.Bias != nil && len(w.Bias) != w.Out || w.Gated && w.Out%2 != 0:
		return nil, errors.New("kernels: parts of a matrix do not have its shape")
	}
	minima := minimaOf(w)
	m := &Matrix{c: (*C.matrix)(C.calloc(1, C.sizeof_matrix))}
	m.c.in, m.c.out, m.c.blocks, m.c.bits = C.int(w.In), C.int(w.Out), C.int(blocks), C.int(w.Bits)
	m.c.half, m.c.minima, m.c.gated = flag(allHalf(w.Scales) && allHalf(minima)), flag(minima != nil), flag(w.Gated)
	if w.Gated {
		m.c.out /= 2
	}
	if size := int(C.sluice_tiles_size(m.c)); len(memory) < size {
		C.free(unsafe.Pointer(m.c))
		return nil, fmt.Errorf("kernels: a matrix of %d bytes in %d bytes of memory", size, len(memory))
	}
	// Memory that was not written is zero: no weights, of the columns that fill the last tile up.
	m.c.tiles = (*C.uint8_t)(&memory[0])
	rowBytes := blocks * BlockLength * w.Bits / 8
	for row := range w.Out {
		var of *C.float
		if minima != nil {
			of = (*C.float)(&minima[row*blocks])
		}
		C.sluice_pack_row(m.c, C.int(m.place(row, w)), (*C.uint8_t)(&w.Codes[row*rowBytes]), (*C.float)(&w.Scales[row*blocks]), of)
	}
	if w.Bias != nil {
		tiles := (w.Out + C.tile_columns - 1) / C.tile_columns * C.tile_columns
		if w.Gated {
			tiles = 2 * ((w.Out/2 + C.tile_columns - 1) / C.tile_columns * C.tile_columns)
		}
		m.c.bias = (*C.float)(C.calloc(C.size_t(tiles), C.sizeof_float))
		bias := unsafe.Slice((*float32)(m.c.bias), tiles)
		for row, b := range w.Bias {
			bias[m.place(row, w)] = b
		}
	}
	return m, nil
}

// place is where a row of weights goes: tiles of gates and of what they gate alternate.
func (m *Matrix) place(row int, w Weights) int {
	if !w.Gated {
		return row
	}
	half := w.Out / 2
	return row%half/C.tile_columns*2*C.tile_columns + row/half*C.tile_columns + row%half%C.tile_columns
}

// minimaOf are the weights of code 0, nil if they follow from the scales. An offset was once a minimum plus
// 2^(bits-1) scales, rounded: where the minimum was a half, as in a GGUF, so is what taking the scales off again gives,
// but for the rounding.
func minimaOf(w Weights) []float32 {
	if w.Offsets == nil {
		return nil
	}
	minima := make([]float32, len(w.Offsets))
	for i, offset := range w.Offsets {
		minima[i] = float32(float64(offset) - float64(w.Scales[i])*float64(int(1)<<(w.Bits-1)))
	}
	return minima
}

func flag(v bool) C.int {
	if v {
		return 1
	}
	return 0
}

// allHalf says whether all values are binary16 numbers: normal ones, subnormal ones or zero.
func allHalf(values []float32) bool {
	for _, v := range values {
		a := math.Abs(float64(v))
		scaled := a * (1 << 24) // the unit of subnormal halves
		if a > 65504 || a < 1.0/(1<<14) && scaled != math.Trunc(scaled) || a >= 1.0/(1<<14) && math.Float32bits(v)&0x1fff != 0 {
			return false
		}
	}
	return true
}

// Address is the attribute "matrix" of nodes.
func (m *Matrix) Address() int64 { return int64(uintptr(unsafe.Pointer(m.c))) }

// Out is the width of the product.
func (m *Matrix) Out() int { return int(m.c.out) }

// Bytes is how much of the memory the matrix takes.
func (m *Matrix) Bytes() int { return int(C.sluice_tiles_size(m.c)) }

// Close frees what the matrix has beside its caller's memory. No session may use it any more.
func (m *Matrix) Close() {
	C.free(unsafe.Pointer(m.c.bias))
	C.free(unsafe.Pointer(m.c))
}

// StateConfig is what the operators of a session share. Cosines and Sines, [MaxLength, HeadSize/2], lie outside Go's
// heap and outlive the state.
type StateConfig struct {
	Layers                   int
	Heads, KVHeads, HeadSize int
	MaxLength                int // of a slot, a multiple of PositionUnit
	Scale                    float32
	Cosines, Sines           []float32
	MaxTokens                int // of a step
	MaxIn                    int // of a matrix, a multiple of BlockLength
	Threads                  int
}

// State is the memory that a session's operators share. It is not safe for concurrent use.
type State struct {
	c      *C.state
	runs   []C.run
	layers int
}

// NewState makes a state, which the caller closes.
func NewState(c StateConfig) (*State, error) {
	s := &State{c: (*C.state)(C.calloc(1, C.sizeof_state)), layers: c.Layers}
	if s.c == nil {
		return nil, errMemory
	}
	s.c.heads, s.c.kv_heads, s.c.head_size = C.int(c.Heads), C.int(c.KVHeads), C.int(c.HeadSize)
	s.c.max_length, s.c.threads, s.c.max_tokens = C.int(c.MaxLength), C.int(c.Threads), C.int(c.MaxTokens)
	s.c.scale = C.float(c.Scale)
	s.c.cosines, s.c.sines = (*C.float)(&c.Cosines[0]), (*C.float)(&c.Sines[0])
	tokens, blocks := c.MaxTokens, c.MaxIn/BlockLength
	s.c.keys, s.c.values = (**C.uint16_t)(room(c.Layers, C.sizeof_uintptr_t)), (**C.uint16_t)(room(c.Layers, C.sizeof_uintptr_t))
	s.c.runs = (*C.run)(room(tokens, C.sizeof_run))
	s.c.codes = (*C.int8_t)(room(tokens, c.MaxIn))
	s.c.scales = (*C.float)(room(tokens, blocks*C.sizeof_float))
	s.c.sums = (*C.block_sum)(room(tokens, blocks*C.sizeof_block_sum))
	if s.c.keys == nil || s.c.values == nil || s.c.runs == nil || s.c.codes == nil || s.c.scales == nil || s.c.sums == nil {
		s.Close()
		return nil, errMemory
	}
	s.runs = unsafe.Slice(s.c.runs, c.MaxTokens)
	return s, nil
}

var errMemory = errors.New("kernels: no memory for what the operators of a session share")

// room is zeroed memory for n values, nil if there is none; calloc looks whether their product is too large.
func room(n, size int) unsafe.Pointer { return C.calloc(C.size_t(n), C.size_t(size)) }

// SetLayer says where a layer's keys and values lie: memory outside Go's heap, for slots of KVHeads · MaxLength · HeadSize
// halves one after the other.
func (s *State) SetLayer(layer int, keys, values []uint16) {
	unsafe.Slice(s.c.keys, s.layers)[layer] = (*C.uint16_t)(&keys[0])
	unsafe.Slice(s.c.values, s.layers)[layer] = (*C.uint16_t)(&values[0])
}

// Reset forgets the runs of the last step.
func (s *State) Reset() { s.c.run_count = 0 }

// AddRun adds consecutive tokens of a sequence to the next step: those after the first past positions of a slot. A
// step's tokens are those of its runs in order. No two runs are of the same slot.
func (s *State) AddRun(slot, past, tokens int) {
	n := int(s.c.run_count)
	first := C.int32_t(0)
	if n > 0 {
		first = s.runs[n-1].first + s.runs[n-1].tokens
	}
	s.runs[n] = C.run{slot: C.int32_t(slot), past: C.int32_t(past), tokens: C.int32_t(tokens), first: first}
	s.c.run_count++
}

// Address is the attribute "state" of nodes.
func (s *State) Address() int64 { return int64(uintptr(unsafe.Pointer(s.c))) }

// Close frees the state, which no session may use any more.
func (s *State) Close() {
	for _, p := range []unsafe.Pointer{
		unsafe.Pointer(s.c.keys), unsafe.Pointer(s.c.values), unsafe.Pointer(s.c.runs),
		unsafe.Pointer(s.c.codes), unsafe.Pointer(s.c.scales), unsafe.Pointer(s.c.sums), unsafe.Pointer(s.c),
	} {
		C.free(p)
	}
}

// Register makes the operators known to sessions that are made with options, ONNX Runtime's OrtSessionOptions. table is
// its OrtApi, version 24 or later. It returns an OrtStatus, nil if all is well, and an OrtCustomOpDomain, which the
// caller releases after the sessions.
func Register(table *unsafe.Pointer, options unsafe.Pointer) (status, domain unsafe.Pointer) {
	status = C.sluice_register(table, options, &domain) //nolint:gocritic // it reads what cgo makes of this
	return status, domain
}

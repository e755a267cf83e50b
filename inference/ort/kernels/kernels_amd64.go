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

	"golang.org/x/sys/unix"
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

// Matrix is weights in the order in which the kernels read them, outside Go's heap. It is read only and may be shared.
type Matrix struct {
	c     *C.matrix
	tiles []byte // what c.tiles points to
}

// Pack makes a matrix, which the caller closes.
func Pack(w Weights) (*Matrix, error) {
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
	// A mapping of its own goes back to the system when the matrix is closed, where malloc would keep it. It starts at a
	// page, thus at a cache line, and is zero without being written: zeros are no weights, of the columns that fill the
	// last tile up.
	size := int(C.sluice_tiles_size(m.c))
	tiles, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		C.free(unsafe.Pointer(m.c))
		return nil, fmt.Errorf("kernels: taking %d bytes of memory: %w", size, err)
	}
	m.tiles, m.c.tiles = tiles, (*C.uint8_t)(&tiles[0])
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

// Bytes is the memory of the weights.
func (m *Matrix) Bytes() int { return int(C.sluice_tiles_size(m.c)) }

// Close frees the matrix, which no session may use any more.
func (m *Matrix) Close() error {
	C.free(unsafe.Pointer(m.c.bias))
	C.free(unsafe.Pointer(m.c))
	if err := unix.Munmap(m.tiles); err != nil {
		return fmt.Errorf("kernels: giving %d bytes of memory back: %w", len(m.tiles), err)
	}
	return nil
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
	MaxIn                    int // of a matrix
	Threads                  int
}

// State is the memory that a session's operators share. It is not safe for concurrent use.
type State struct {
	c      *C.state
	runs   []C.run
	layers int
}

// NewState makes a state, which the caller closes.
func NewState(c StateConfig) *State {
	s := &State{c: (*C.state)(C.calloc(1, C.sizeof_state)), layers: c.Layers}
	s.c.heads, s.c.kv_heads, s.c.head_size = C.int(c.Heads), C.int(c.KVHeads), C.int(c.HeadSize)
	s.c.max_length, s.c.threads, s.c.max_tokens = C.int(c.MaxLength), C.int(c.Threads), C.int(c.MaxTokens)
	s.c.scale = C.float(c.Scale)
	s.c.cosines, s.c.sines = (*C.float)(&c.Cosines[0]), (*C.float)(&c.Sines[0])
	s.c.keys, s.c.values = pointers(c.Layers), pointers(c.Layers)
	tokens, blocks := C.size_t(c.MaxTokens), C.size_t(c.MaxIn/BlockLength)
	s.c.runs = (*C.run)(C.calloc(tokens, C.sizeof_run))
	s.c.codes = (*C.int8_t)(C.calloc(tokens, C.size_t(c.MaxIn)))
	s.c.scales = (*C.float)(C.calloc(tokens*blocks, C.sizeof_float))
	s.c.sums = (*C.float)(C.calloc(tokens*blocks, C.sizeof_float))
	s.runs = unsafe.Slice(s.c.runs, c.MaxTokens)
	return s
}

// pointers is a C array for the addresses of buffers.
func pointers(n int) **C.uint16_t {
	return (**C.uint16_t)(C.calloc(C.size_t(n), C.size_t(unsafe.Sizeof((*C.uint16_t)(nil)))))
}

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

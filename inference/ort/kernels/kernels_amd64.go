package kernels

/*
#cgo CFLAGS: -O3
#include <stdlib.h>
#include "kernels.h"
*/
import "C"

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// Best is the best variant of the kernels that this processor has the instructions for.
func Best() Variant { return Variant(C.sluice_best()) }

// Weights are a matrix in the layout of MatMulNBits: Codes [Out, ⌈In/Block⌉, Block·Bits/8], Scales [Out, ⌈In/Block⌉]. A
// weight is its block's scale times (code - 2^(Bits-1)), plus the block's offset if there are Offsets, whose shape is that
// of Scales. Where ByOutput is set an output has one scale, without offsets: Codes are signed, [In, Out], as
// MatMulIntegerToFloat has them, and Scales [Out]. With a Gate the product is act(gate)·other, [tokens, Out/2]: the first half of the rows are the gates.
type Weights struct {
	Out, In  int
	Bits     int // 4 or 8
	Block    int // weights that share a scale: ShortBlock, or a multiple of BlockLength
	Codes    []byte
	Scales   []float32
	Offsets  []float32
	Bias     []float32 // [Out]; nil: none
	Gate     Gate
	ByOutput bool
	Head     bool    // its product's rows are logits, of which [State.Want] says what is read
	Cap      float32 // bounds what the product gives softly, to Cap·tanh(x/Cap), unless it is gated; 0: nothing does
}

// MaxBytes is the most memory that a matrix of the weights takes: less where scales and minima are binary16 numbers.
func (w Weights) MaxBytes() int {
	columns := (w.Out + C.tile_columns - 1) / C.tile_columns * C.tile_columns
	if w.Gate != NoGate {
		columns = 2 * ((w.Out/2 + C.tile_columns - 1) / C.tile_columns * C.tile_columns)
	}
	if w.ByOutput {
		return columns * (w.In + C.sizeof_float)
	}
	return columns * (w.In / w.length()) * (w.length()*w.Bits/8 + 2*C.sizeof_float)
}

// length is that of the blocks that a matrix has of the weights.
func (w Weights) length() int { return min(w.Block, BlockLength) }

// check says what of the weights does not fit together.
func (w Weights) check() error {
	if w.Block != ShortBlock && (w.Block < BlockLength || w.Block > MaxSide || w.Block%BlockLength != 0) || w.ByOutput && w.Block != BlockLength {
		return fmt.Errorf("kernels: blocks of %d weights", w.Block)
	}
	if w.Out < 1 || w.Out > MaxSide || w.In < 1 || w.In > MaxSide || w.In%w.length() != 0 || w.Bits != 4 && w.Bits != 8 || w.ByOutput && w.Bits != 8 {
		return fmt.Errorf("kernels: a matrix of %d by %d weights of %d bits", w.Out, w.In, w.Bits)
	}
	codes, scales, offsets := w.Out*w.In, w.Out, 0
	if !w.ByOutput {
		scales = w.Out * ((w.In + w.Block - 1) / w.Block)
		codes, offsets = scales*w.Block*w.Bits/8, scales
	}
	if len(w.Codes) != codes || len(w.Scales) != scales || w.Offsets != nil && len(w.Offsets) != offsets ||
		w.Bias != nil && len(w.Bias) != w.Out || w.Gate != NoGate && (w.Out%2 != 0 || w.Cap != 0) {
		return errors.New("kernels: parts of a matrix do not have its shape")
	}
	return nil
}

// Matrix is weights in the order in which the kernels read them. It is read only and may be shared.
type Matrix struct{ c *C.matrix }

// Pack makes a matrix, which the caller closes, at the beginning of memory: outside Go's heap, zero, of at least
// [Weights.MaxBytes], from a multiple of 64 on. It stays the caller's, who frees it after the matrix.
func Pack(w Weights, memory []byte) (*Matrix, error) {
	if err := w.check(); err != nil {
		return nil, err
	}
	length := w.length()
	minima := minimaOf(w)
	m := &Matrix{c: (*C.matrix)(allocate(1, C.sizeof_matrix))}
	if m.c == nil {
		return nil, errMemory
	}
	m.c.in, m.c.out, m.c.length, m.c.blocks, m.c.bits = C.int(w.In), C.int(w.Out), C.int(length), C.int(w.In/length), C.int(w.Bits)
	m.c.cap = C.float(w.Cap)
	m.c.half, m.c.minima, m.c.gated = flag(allHalf(w.Scales) && allHalf(minima)), flag(minima != nil), C.int(w.Gate)
	m.c.by_output, m.c.split = flag(w.ByOutput), flag(w.splits())
	if w.Gate != NoGate {
		m.c.out /= 2
	}
	if size := int(C.sluice_tiles_size(m.c)); len(memory) < size {
		m.Close()
		return nil, fmt.Errorf("kernels: a matrix of %d bytes in %d bytes of memory", size, len(memory))
	}
	// Memory that was not written is zero: no weights, of the columns that fill the last tile up.
	m.c.tiles = (*C.uint8_t)(&memory[0])
	if m.c.split != 0 {
		m.c.low = (*C.uint8_t)(&memory[C.sluice_low_plane(m.c)])
		if m.c.spread = (*C.float)(allocate((w.Out+C.tile_columns-1)/C.tile_columns*C.tile_columns, C.sizeof_float)); m.c.spread == nil {
			m.Close()
			return nil, errMemory
		}
	}
	m.packRows(w, minima)
	if w.Bias != nil {
		tiles := (w.Out + C.tile_columns - 1) / C.tile_columns * C.tile_columns
		if w.Gate != NoGate {
			tiles = 2 * ((w.Out/2 + C.tile_columns - 1) / C.tile_columns * C.tile_columns)
		}
		if m.c.bias = (*C.float)(allocate(tiles, C.sizeof_float)); m.c.bias == nil {
			m.Close()
			return nil, errMemory
		}
		bias := unsafe.Slice((*float32)(m.c.bias), tiles)
		for row, b := range w.Bias {
			bias[m.place(row, w)] = b
		}
	}
	return m, nil
}

// packRows puts the weights into the tiles.
func (m *Matrix) packRows(w Weights, minima []float32) {
	if w.ByOutput {
		for row := range w.Out {
			C.sluice_pack_output(m.c, C.int(m.place(row, w)), (*C.int8_t)(unsafe.Pointer(&w.Codes[row])), C.size_t(w.Out), C.float(w.Scales[row]))
		}
		return
	}
	groups, per := (w.In+w.Block-1)/w.Block, w.Block/w.length()
	rowBytes := groups * w.Block * w.Bits / 8
	for row := range w.Out {
		scales, of := repeated(w.Scales[row*groups:][:groups], per), (*C.float)(nil)
		if m.c.split != 0 {
			C.sluice_pack_head(m.c, C.int(row), (*C.uint8_t)(&w.Codes[row*rowBytes]), (*C.float)(&scales[0]))
			continue
		}
		if minima != nil {
			of = (*C.float)(&repeated(minima[row*groups:][:groups], per)[0])
		}
		C.sluice_pack_row(m.c, C.int(m.place(row, w)), (*C.uint8_t)(&w.Codes[row*rowBytes]), (*C.float)(&scales[0]), of)
	}
}

// repeated is each of the values n times.
func repeated(values []float32, n int) []float32 {
	if n == 1 {
		return values
	}
	all := make([]float32, 0, n*len(values))
	for _, v := range values {
		for range n {
			all = append(all, v)
		}
	}
	return all
}

// place is where a row of weights goes: tiles of gates and of what they gate alternate.
func (m *Matrix) place(row int, w Weights) int {
	if w.Gate == NoGate {
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
	C.free(unsafe.Pointer(m.c.spread))
	C.free(unsafe.Pointer(m.c))
}

// StateConfig is what the operators of a session share.
type StateConfig struct {
	Layers                   []Layer
	Heads, KVHeads, HeadSize int
	MaxLength                int // of a slot, a multiple of PositionUnit
	MaxTokens                int // of a step
	MaxIn                    int // of a matrix, a multiple of ShortBlock
	Threads                  int
	Program                  *Program // nil: the graph has none
	Variant                  Variant  // 0: the processor's best
}

// Layer is how a layer attends. Cosines and Sines, [MaxLength, Pairs], and the weights of norms lie outside Go's heap and outlive
// the state.
type Layer struct {
	Cosines, Sines []float32
	Pairs          int     // of a head's values that positions turn; 0: none, and there are no tables
	Scale          float32 // of the products of queries and keys
	Cap            float32 // bounds them softly, to Cap·tanh(x/Cap); 0: nothing does
	Window         int     // how many positions a token sees, its own among them; 0: all

	// Weights of RMS norms of queries and keys, before positions turn them; nil: they have none. A norm is of each head by
	// itself, [HeadSize], or, NormWhole, of all of a token's together, [Heads, HeadSize] and [KVHeads, HeadSize].
	QueryNorm, KeyNorm []float32
	NormEpsilon        float32
	NormWhole          bool
}

// State is the memory that a session's operators share. It is not safe for concurrent use.
type State struct {
	c      *C.state
	runs   []C.run
	layers []C.layer
	memory []unsafe.Pointer
}

// NewState makes a state, which the caller closes. A configuration that the operators cannot work with is an error.
func NewState(c StateConfig) (_ *State, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &State{}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.c = (*C.state)(s.room(1, C.sizeof_state)); s.c == nil {
		return nil, errMemory
	}
	s.c.heads, s.c.kv_heads, s.c.head_size = C.int(c.Heads), C.int(c.KVHeads), C.int(c.HeadSize)
	s.c.max_length, s.c.threads, s.c.max_tokens = C.int(c.MaxLength), C.int(c.Threads), C.int(c.MaxTokens)
	s.c.max_blocks = C.int(c.MaxIn / ShortBlock)
	s.setVariant(cmp.Or(c.Variant, Best()))
	tokens, blocks, actions, widths := c.MaxTokens, c.MaxIn/ShortBlock, mostOwnActions, []int(nil)
	if c.Program != nil {
		actions, widths = max(actions, len(c.Program.actions)), c.Program.widths
	}
	s.c.layers = (*C.layer)(s.room(len(c.Layers), C.sizeof_layer))
	s.c.runs = (*C.run)(s.room(tokens, C.sizeof_run))
	s.c.chosen = (*C.run)(s.room(tokens, C.sizeof_run))
	s.c.marks = (*C.uint8_t)(s.room(tokens, 1))
	s.c.codes = (*C.int8_t)(s.room(tokens, c.MaxIn))
	s.c.scales = (*C.float)(s.room(tokens, blocks*C.sizeof_float))
	s.c.sums = (*C.block_sum)(s.room(tokens, blocks*C.sizeof_block_sum))
	s.c.greedy = (*C.uint8_t)(s.room(tokens, 1))
	s.c.margins = (*C.float)(s.room(tokens, C.sizeof_float))
	s.c.bounds, s.c.bests = (*C.uint32_t)(s.room(tokens, C.sizeof_uint32_t)), (*C.uint32_t)(s.room(tokens, C.sizeof_uint32_t))
	s.c.squares = (*C.float)(s.room(tokens, blocks*C.sizeof_float))
	s.c.partials = (*C.float)(s.room(int(C.sluice_partials(s.c)), C.sizeof_float))
	s.c.phases = (*C.phase)(s.room(actions, C.sizeof_phase))
	s.c.counters = (*C.counter)(s.room(c.Threads, C.sizeof_counter))
	s.c.buffers = (**C.float)(s.room(OwnBuffer+len(widths), C.sizeof_uintptr_t))
	for i, width := range widths {
		memory := (*C.float)(s.room(tokens, width*C.sizeof_float))
		if memory == nil {
			return nil, errMemory // maybe of the list itself
		}
		unsafe.Slice(s.c.buffers, OwnBuffer+len(widths))[OwnBuffer+i] = memory
	}
	if slices.Contains(s.memory, nil) {
		return nil, errMemory
	}
	s.runs, s.layers = unsafe.Slice(s.c.runs, tokens), unsafe.Slice(s.c.layers, len(c.Layers))
	for i, of := range c.Layers {
		to := &s.layers[i]
		to.pairs, to.scale, to.cap, to.window = C.int(of.Pairs), C.float(of.Scale), C.float(of.Cap), C.int(of.Window)
		if of.Pairs > 0 {
			to.cosines, to.sines = (*C.float)(&of.Cosines[0]), (*C.float)(&of.Sines[0])
		}
		to.query_norm, to.key_norm = (*C.float)(unsafe.SliceData(of.QueryNorm)), (*C.float)(unsafe.SliceData(of.KeyNorm))
		to.norm_epsilon, to.norm_whole = C.float(of.NormEpsilon), flag(of.NormWhole)
	}
	return s, nil
}

var errMemory = errors.New("kernels: no memory for what the operators work with")

// allocate is zeroed memory for n values, nil if there is none: calloc looks whether their product is too large.
//
//nolint:gochecknoglobals // tests let it fail
var allocate = func(n, size int) unsafe.Pointer { return C.calloc(C.size_t(n), C.size_t(size)) }

// mostOwnActions is how many actions a single product, or a single attention, has.
const mostOwnActions = C.own_actions

// room is zeroed memory for n values, freed with the state; nil if there is none.
func (s *State) room(n, size int) unsafe.Pointer {
	if s.c != nil && s.memory[len(s.memory)-1] == nil {
		return nil // after the first failure, nothing is written to
	}
	p := allocate(n, size)
	s.memory = append(s.memory, p)
	return p
}

// setVariant says what computes.
func (s *State) setVariant(v Variant) {
	s.c.by, s.c.bf16 = C.sluice_variant(C.int(v)), 0
	if v == AVX512 {
		s.c.bf16 = C.sluice_bf16()
	}
}

// SetLayer says where a layer's keys and values lie: memory outside Go's heap, for slots of KVHeads · MaxLength · HeadSize
// bfloat16 numbers one after the other.
func (s *State) SetLayer(layer int, keys, values []uint16) {
	s.layers[layer].keys, s.layers[layer].values = (*C.uint16_t)(&keys[0]), (*C.uint16_t)(&values[0])
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
	for _, p := range s.memory {
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

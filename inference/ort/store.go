package ort

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/runner"
)

// store is the memory in which the keys and values of prompts outlive their sequences: blocks of runner.BlockSize
// positions, each with all that a cache holds of them, buffer by buffer and head by head. It takes memory as blocks are
// first written, in large pages where the system has them, and keeps it: blocks are first taken in order, and one that
// is forgotten is the next to be written.
type store[T kv] struct {
	cache  *cache[T]
	region *region
	values []T
	blocks int
	block  int // values of one block
	run    int // values of one head of one buffer in a block
}

// newStore reserves blocks for what a cache holds.
func newStore[T kv](blocks int, c *cache[T]) (*store[T], error) {
	s := &store[T]{cache: c, blocks: blocks, block: blockValues(c), run: runner.BlockSize * c.width}
	size, ok := product(blocks, blockBytes(c))
	if !ok {
		return nil, fmt.Errorf("a prefix store of %d blocks of %d bytes does not fit into an address space", blocks, blockBytes(c))
	}
	var err error
	if s.region, err = reserveDense(size); err != nil {
		return nil, err
	}
	s.values = carve[T](s.region, blocks*s.block)
	return s, nil
}

// blockValues is the number of values in a block of what a cache holds.
func blockValues[T kv](c *cache[T]) int {
	return len(c.buffers) * (c.slot / c.head) * runner.BlockSize * c.width
}

// blockBytes is the memory of such a block.
func blockBytes[T kv](c *cache[T]) int { return runner.BlockSize * positionBytes(c) }

// PrefixPositionBytes is the memory of one position in the prefix store of a session of a graph.
func PrefixPositionBytes(g model.Graph) int {
	values := 2 * g.Layers * g.KVHeads * g.HeadSize
	if g.Hybrid != nil {
		return values * int(unsafe.Sizeof(float32(0))+unsafe.Sizeof(int8(0)))
	}
	return values * int(unsafe.Sizeof(float32(0)))
}

// save copies positions of a slot, from past on, into blocks.
func (s *store[T]) save(slot, past int, blocks []int) {
	s.each(slot, past, len(blocks)*runner.BlockSize, blocks, func(positions, block []T) { copy(block, positions) })
}

// load copies the first length positions that blocks hold into a slot, from its position 0 on.
func (s *store[T]) load(slot int, blocks []int, length int) {
	s.each(slot, 0, length, blocks, func(positions, block []T) { copy(positions, block) })
}

// each calls f with the places of the same positions in a slot and in a block, for length positions from past on. It
// goes through the slot in order, head by head: that is where the long runs of memory are.
func (s *store[T]) each(slot, past, length int, blocks []int, f func(positions, block []T)) {
	c, at := s.cache, 0 // at: within a block
	for _, b := range c.buffers {
		held := b[slot*c.slot : (slot+1)*c.slot]
		for head := 0; head < c.slot; head += c.head {
			from, left := head+past*c.width, length*c.width
			for _, id := range blocks {
				n := min(s.run, left)
				f(held[from:from+n], s.values[id*s.block+at:][:n])
				from, left = from+n, left-n
			}
			at += s.run
		}
	}
}

// free gives the memory back.
func (s *store[T]) free() error {
	if s == nil {
		return nil
	}
	return s.region.free()
}

// prefixes are the stores of a session: of its slots, or of a hybrid graph's scratch and of its 8-bit slots, so that what
// was rounded once need not be rounded again.
type prefixes struct {
	blocks  int // 0: there are none
	bytes   int // of one block
	exact   *store[float32]
	rounded *store[int8]   // nil: no hybrid graph
	halves  *store[uint16] // of a native graph, in place of exact
}

// reserveHalves takes address space for as many blocks of a native graph's slots as fit into the given memory.
func reserveHalves(memory int, slots *cache[uint16]) (p prefixes, err error) {
	p.bytes = blockBytes(slots)
	if p.blocks = memory / p.bytes; p.blocks > 0 {
		p.halves, err = newStore(p.blocks, slots)
	}
	return p, err
}

// free gives the memory back.
func (p prefixes) free() error { return errors.Join(p.exact.free(), p.rounded.free(), p.halves.free()) }

// reservePrefixes takes address space for as many blocks as fit into the given memory.
func reservePrefixes(memory int, exact *cache[float32], rounded *cache[int8]) (p prefixes, err error) {
	p.bytes = blockBytes(exact)
	if rounded != nil {
		p.bytes += blockBytes(rounded)
	}
	if p.blocks = memory / p.bytes; p.blocks == 0 {
		return p, nil
	}
	if p.exact, err = newStore(p.blocks, exact); err != nil || rounded == nil {
		return p, err
	}
	p.rounded, err = newStore(p.blocks, rounded)
	return p, err
}

package ort

import (
	"fmt"
	"unsafe"

	"github.com/sluiceml/sluice/inference/runner"
)

// store is the memory in which the keys and values of prompts outlive their sequences: blocks of runner.BlockSize
// positions, each with all that a slot holds of them, buffer by buffer and head by head. It takes memory as blocks are
// first written, in large pages where the system has them, and keeps it: blocks are first taken in order, and one that
// is forgotten is the next to be written.
type store struct {
	cache  *cache[float32]
	region *region
	values []float32
	blocks int
	block  int // values of one block
	run    int // values of one head of one buffer in a block
}

// newStore reserves as many blocks as fit into the given memory, or none: then the store is nil.
func newStore(memory int, c *cache[float32]) (*store, error) {
	s := &store{cache: c, run: runner.BlockSize * c.width}
	s.block = len(c.buffers) * (c.slot / c.head) * s.run
	s.blocks = memory / s.bytes()
	if s.blocks == 0 {
		return nil, nil //nolint:nilnil // nil is the store that holds nothing
	}
	size, ok := product(s.blocks, s.bytes())
	if !ok {
		return nil, fmt.Errorf("a prefix store of %d bytes does not fit into an address space", memory)
	}
	var err error
	if s.region, err = reserveDense(size); err != nil {
		return nil, err
	}
	s.values = carve[float32](s.region, s.blocks*s.block)
	return s, nil
}

// bytes is the memory of one block.
func (s *store) bytes() int { return s.block * int(unsafe.Sizeof(float32(0))) }

// save copies positions of a slot, from past on, into blocks. Both it and load go through the slot in order, head by
// head: that is where the long runs of memory are.
func (s *store) save(slot, past int, blocks []int) {
	s.each(slot, past, blocks, func(positions, block []float32) { copy(block, positions) })
}

// load copies blocks into a slot, from position 0 on.
func (s *store) load(slot int, blocks []int) {
	s.each(slot, 0, blocks, func(positions, block []float32) { copy(positions, block) })
}

// each calls f with the places of the same positions in a slot and in a block.
func (s *store) each(slot, past int, blocks []int, f func(positions, block []float32)) {
	c, at := s.cache, 0 // at: within a block
	for _, b := range c.buffers {
		held := b[slot*c.slot : (slot+1)*c.slot]
		for head := 0; head < c.slot; head += c.head {
			from := head + past*c.width
			for _, id := range blocks {
				f(held[from:from+s.run], s.values[id*s.block+at:][:s.run])
				from += s.run
			}
			at += s.run
		}
	}
}

// free gives the memory back.
func (s *store) free() error { return s.region.free() }

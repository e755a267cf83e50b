package ort

import (
	"errors"
	"fmt"

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
	halves  *store[uint16] // bfloat16 numbers, of a native graph, in place of exact
}

// prefixBlocks is how many blocks, of so many bytes each, the prefix store of a session has.
func (c *Config) prefixBlocks(bytes int) int {
	blocks := c.PrefixBytes / bytes
	if c.PrefixTokens > 0 {
		blocks = min(blocks, c.PrefixTokens/runner.BlockSize)
	}
	return blocks
}

// reserveHalves takes address space for the blocks of a native graph's slots.
func reserveHalves(c *Config, slots *cache[uint16]) (p prefixes, err error) {
	p.bytes = blockBytes(slots)
	if p.blocks = c.prefixBlocks(p.bytes); p.blocks > 0 {
		p.halves, err = newStore(p.blocks, slots)
	}
	return p, err
}

// free gives the memory back.
func (p prefixes) free() error { return errors.Join(p.exact.free(), p.rounded.free(), p.halves.free()) }

// reservePrefixes takes address space for the blocks of other graphs.
func reservePrefixes(c *Config, exact *cache[float32], rounded *cache[int8]) (p prefixes, err error) {
	p.bytes = blockBytes(exact)
	if rounded != nil {
		p.bytes += blockBytes(rounded)
	}
	if p.blocks = c.prefixBlocks(p.bytes); p.blocks == 0 {
		return p, nil
	}
	if p.exact, err = newStore(p.blocks, exact); err != nil || rounded == nil {
		return p, err
	}
	p.rounded, err = newStore(p.blocks, rounded)
	return p, err
}

package ort

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/sluiceml/sluice/inference/model"
)

// kv is the type of keys and values; uint16 stands for bfloat16.
type kv interface{ int8 | uint16 | float32 }

// cache is the memory of a session's keys and values: for each layer two buffers, each of all slots one after the
// other, each slot of kv_heads runs of maxLength positions of headSize values.
type cache[T kv] struct {
	region  *region
	buffers [][]T // key of layer 0, value of layer 0, key of layer 1, …
	slots   int
	slot    int // values of one slot in one buffer
	head    int // values of one head of a slot
	width   int // values of one position of a head
}

// newCache reserves the memory. Nothing is committed before it is used.
func newCache[T kv](slots, maxLength int, g model.Graph) (*cache[T], error) {
	var zero T
	tooLarge := fmt.Errorf("keys and values of %d slots of %d positions do not fit into an address space", slots, maxLength)
	values, ok := product(slots, g.KVHeads, maxLength, g.HeadSize)
	if !ok {
		return nil, tooLarge
	}
	size, ok := product(pages(values*int(unsafe.Sizeof(zero))), 2, g.Layers)
	if !ok {
		return nil, tooLarge
	}
	r, err := reserve(size)
	if err != nil {
		return nil, err
	}
	c := &cache[T]{
		region:  r,
		buffers: make([][]T, 2*g.Layers),
		slots:   slots,
		slot:    g.KVHeads * maxLength * g.HeadSize,
		head:    maxLength * g.HeadSize,
		width:   g.HeadSize,
	}
	for i := range c.buffers {
		c.buffers[i] = carve[T](r, values)
	}
	return c, nil
}

// view is slots from to to-1 of a buffer.
func (c *cache[T]) view(buffer, from, to int) []T {
	return c.buffers[buffer][from*c.slot : to*c.slot]
}

// positionBytes is the memory of one position of a slot, all layers and heads together.
func positionBytes[T kv](c *cache[T]) int {
	var zero T
	return len(c.buffers) * (c.slot / c.head) * c.width * int(unsafe.Sizeof(zero))
}

// copySlot copies the first length positions of each head.
func (c *cache[T]) copySlot(dst, src, length int) {
	for _, b := range c.buffers {
		to, from := b[dst*c.slot:(dst+1)*c.slot], b[src*c.slot:(src+1)*c.slot]
		for at := 0; at < c.slot; at += c.head {
			copy(to[at:at+length*c.width], from[at:])
		}
	}
}

// release gives a slot's memory back, but for the pages that it shares with a neighbour.
func (c *cache[T]) release(slot int) error {
	var errs error
	for i := range c.buffers {
		errs = errors.Join(errs, discard(c.region, c.view(i, slot, slot+1)))
	}
	return errs
}

// free gives everything back.
func (c *cache[T]) free() error { return c.region.free() }

package ort

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/sluiceml/sluice/inference/model"
)

// cache is the memory of a session's keys and values: for each layer two buffers, each of all slots one after the
// other, each slot of kv_heads runs of maxLength positions of headSize values.
type cache struct {
	region  *region
	buffers [][]float32 // key of layer 0, value of layer 0, key of layer 1, …
	slots   int
	slot    int // values of one slot in one buffer
	head    int // values of one head of a slot
	width   int // values of one position of a head
}

// newCache reserves the memory. Nothing is committed before it is used.
func newCache(slots, maxLength int, g model.Graph) (*cache, error) {
	tooLarge := fmt.Errorf("keys and values of %d slots of %d positions do not fit into an address space", slots, maxLength)
	values, ok := product(slots, g.KVHeads, maxLength, g.HeadSize)
	if !ok {
		return nil, tooLarge
	}
	size, ok := product(pages(values*int(unsafe.Sizeof(float32(0)))), 2, g.Layers)
	if !ok {
		return nil, tooLarge
	}
	r, err := reserve(size)
	if err != nil {
		return nil, err
	}
	c := &cache{
		region:  r,
		buffers: make([][]float32, 2*g.Layers),
		slots:   slots,
		slot:    g.KVHeads * maxLength * g.HeadSize,
		head:    maxLength * g.HeadSize,
		width:   g.HeadSize,
	}
	for i := range c.buffers {
		c.buffers[i] = carve[float32](r, values)
	}
	return c, nil
}

// view is slots from to to-1 of a buffer.
func (c *cache) view(buffer, from, to int) []float32 {
	return c.buffers[buffer][from*c.slot : to*c.slot]
}

// copySlot copies the first length positions of each head.
func (c *cache) copySlot(dst, src, length int) {
	for _, b := range c.buffers {
		to, from := b[dst*c.slot:(dst+1)*c.slot], b[src*c.slot:(src+1)*c.slot]
		for at := 0; at < c.slot; at += c.head {
			copy(to[at:at+length*c.width], from[at:])
		}
	}
}

// release gives a slot's memory back, but for the pages that it shares with a neighbour.
func (c *cache) release(slot int) error {
	var errs error
	for i := range c.buffers {
		errs = errors.Join(errs, c.region.discard(c.view(i, slot, slot+1)))
	}
	return errs
}

// free gives everything back.
func (c *cache) free() error { return c.region.free() }

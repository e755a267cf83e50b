package ort

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
)

// readScales reads the scales of the 8-bit keys and values.
func readScales(c Config) (_ [][]float32, err error) {
	f, err := os.Open(filepath.Join(filepath.Dir(c.Model), c.Graph.Data))
	if err != nil {
		return nil, fmt.Errorf("reading the scales of keys and values: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	width := c.Graph.KVHeads * c.Graph.HeadSize
	data := make([]byte, 4*width)
	inverse := make([][]float32, 2*c.Graph.Layers)
	for i := range inverse {
		if _, err := io.ReadFull(io.NewSectionReader(f, c.Graph.Hybrid.ScalesOffset+int64(i*len(data)), int64(len(data))), data); err != nil {
			return nil, fmt.Errorf("reading the scales of keys and values: %w", err)
		}
		inverse[i] = make([]float32, width)
		for j := range inverse[i] {
			scale := math.Float32frombits(binary.LittleEndian.Uint32(data[4*j:]))
			if !(scale > 0) || math.IsInf(float64(scale), 0) {
				return nil, fmt.Errorf("the scale of channel %d of layer %d's keys and values is %v", j, i/2, scale)
			}
			inverse[i][j] = 1 / scale
		}
	}
	return inverse, nil
}

// round rounds positions of the scratch into a slot, as the attention operator rounds those of decode rows.
func (h *hybrid) round(slot, past, n int) {
	width := h.scratch.width
	for b, from := range h.scratch.buffers {
		to := h.slots.view(b, slot, slot+1)
		for head, channel := 0, 0; head < h.scratch.slot; head, channel = head+h.scratch.head, channel+width {
			inverse := h.inverse[b][channel : channel+width]
			first := head + past*width
			roundRows(to[first:first+n*width], from[first:first+n*width], inverse)
		}
	}
}

// roundRows rounds rows of as many values as there are factors.
func roundRows(dst []int8, src, inverse []float32) {
	// Adding and subtracting it rounds to an integer, ties to even, as the operator does.
	const integer = 3 << 22
	for len(src) > 0 {
		row, out := src[:len(inverse)], dst[:len(inverse)]
		for i, f := range inverse {
			v := min(127, max(-128, float32(row[i]*f)))
			out[i] = int8(int32(v + integer - integer))
		}
		src, dst = src[len(inverse):], dst[len(inverse):]
	}
}

// load takes a prompt's beginning from the prefix store.
func (h *hybrid) load(slot int, blocks []int, length int) {
	h.owner = slot
	h.session.prefixes.exact.load(0, blocks, length)
	h.session.prefixes.rounded.load(slot, blocks, length)
}

// copySlot copies positions of a slot, and with them the prompt that is running.
func (h *hybrid) copySlot(dst, src, length int) {
	h.slots.copySlot(dst, src, length)
	if h.owner == src {
		h.owner = dst
	}
}

// release gives a slot's memory back, and that of the prompt in the scratch if it was the slot's.
func (h *hybrid) release(slot int) error {
	err := h.slots.release(slot)
	if h.owner == slot {
		h.owner = -1
		err = errors.Join(err, h.scratch.release(0))
	}
	return err
}

// save copies the prompt that is running, or ran last, into the prefix store.
func (h *hybrid) save(slot, past int, blocks []int) error {
	if h.owner != slot {
		return fmt.Errorf("ort: saving positions of slot %d, but the last prompt is in slot %d", slot, h.owner)
	}
	h.session.prefixes.exact.save(0, past, blocks)
	h.session.prefixes.rounded.save(slot, past, blocks)
	return nil
}

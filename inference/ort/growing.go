package ort

import (
	"errors"
	"fmt"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sluiceml/sluice/inference/runner"
)

// growing runs a graph whose past must be exactly as long as what it holds and whose present is another tensor, longer
// by the step's tokens: one row at a time. The slots are places in a cache with one place more than there are slots. A
// run reads a slot's place and writes the spare one, and the two change roles, so that nothing is copied. A place holds
// [heads, length, head size] without gaps, whatever there is room for.
//
// Attention here adds up over as many keys as the run sees, in an order that depends on their number: the logits depend
// on how a prompt is cut, and the session says so in its limits.
type growing[T kv] struct {
	maskedInputs
	places  *cache[T]
	place   []int // by slot; the last one is the spare
	lengths []int // positions that a slot holds
}

// reserve takes address space for keys, values, inputs and logits. There is no prefix store.
func (g *growing[T]) reserve() (err error) {
	c := g.session.config
	if g.places, err = newCache[T](c.Slots+1, c.MaxLength, c.Graph); err != nil {
		return err
	}
	g.place, g.lengths = make([]int, c.Slots+1), make([]int, c.Slots)
	for i := range g.place {
		g.place[i] = i
	}
	return g.maskedInputs.reserve()
}

// step runs each decode row, then the chunk.
func (g *growing[T]) step(step runner.Step) (logits runner.Logits, err error) {
	for i, row := range step.Decode {
		if err := g.runSlot(i, row.Past, 1, g.decode[i:], row.Token); err != nil {
			return logits, err
		}
	}
	logits.Decode = g.decode[:len(step.Decode)]
	for i := range step.Chunks { // one at most
		c := &step.Chunks[i]
		if err := g.runSlot(c.Slot, c.Past, wanted(c), g.chunk, c.Tokens...); err != nil {
			return logits, err
		}
		g.chunkLogits(c, &logits)
	}
	return logits, nil
}

// runSlot runs tokens after the past positions of a slot.
func (g *growing[T]) runSlot(slot, past, keep int, logits [][]float32, tokens ...uint32) (err error) {
	if past > g.lengths[slot] {
		return fmt.Errorf("ort: slot %d holds %d positions, not %d", slot, g.lengths[slot], past)
	}
	g.shorten(slot, past)
	spare := len(g.place) - 1
	length := past + len(tokens)
	var made tensors
	defer func() { err = errors.Join(err, made.close()) }()
	pasts, err := g.tensors(&made, g.place[slot], past)
	if err != nil {
		return err
	}
	presents, err := g.tensors(&made, g.place[spare], length)
	if err != nil {
		return err
	}
	g.row(0, past, length, tokens...)
	if err := g.run(1, len(tokens), length, keep, pasts, presents, logits); err != nil {
		return err
	}
	g.place[slot], g.place[spare] = g.place[spare], g.place[slot]
	g.lengths[slot] = length
	return nil
}

// tensors makes the tensors of a place that holds so many positions.
func (g *growing[T]) tensors(made *tensors, place, length int) ([]onnx.Value, error) {
	about := g.session.config.Graph
	values := make([]onnx.Value, len(g.places.buffers))
	for i := range values {
		var err error
		values[i], err = newKV(made, g.places.view(i, place, place+1), 1, int64(about.KVHeads), int64(length), int64(about.HeadSize))
		if err != nil {
			return nil, err
		}
	}
	return values, nil
}

// shorten forgets what a slot holds beyond length.
func (g *growing[T]) shorten(slot, length int) {
	if length < g.lengths[slot] {
		g.copySlot(slot, slot, length) // to where it was or before
	}
}

// copySlot copies the first length positions of each head.
func (g *growing[T]) copySlot(dst, src, length int) {
	width, held := g.places.width, g.lengths[src]
	for i := range g.places.buffers {
		to := g.places.view(i, g.place[dst], g.place[dst]+1)
		from := g.places.view(i, g.place[src], g.place[src]+1)
		for head := range g.session.config.Graph.KVHeads {
			copy(to[head*length*width:(head+1)*length*width], from[head*held*width:])
		}
	}
	g.lengths[dst] = length
}

// release gives a slot's memory back.
func (g *growing[T]) release(slot int) error {
	g.lengths[slot] = 0
	return g.places.release(g.place[slot])
}

// limit says that prompts are cut in one way only.
func (g *growing[T]) limit(l *runner.Limits) {
	l.FixedChunks, l.PositionBytes = true, positionBytes(g.places)
}

// save and load are not called: there is no prefix store.
func (g *growing[T]) save(int, int, []int) error { return errors.New("ort: there is no prefix store") }
func (g *growing[T]) load(int, []int, int)       {}

// unbind has nothing to do: tensors live for one run.
func (g *growing[T]) unbind() error { return nil }

// free gives the memory back.
func (g *growing[T]) free() error {
	err := g.maskedInputs.free()
	if g.places != nil {
		err = errors.Join(err, g.places.free())
	}
	return err
}

// close has nothing left to do.
func (g *growing[T]) close() {}

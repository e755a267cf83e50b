package inferencetest

import (
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

// testBlocks saves the beginning of a prompt, spoils the slot, and goes on from what was saved: in other slots, from
// whole blocks and parts of them, with rests of every length. Whether a prefix was computed or loaded must not show.
func (c *conformance) testBlocks(t *testing.T) {
	l, other := c.newLine(t, 101, 2*runner.BlockSize+7, 4), c.newLine(t, 102, 40, 1)
	prompt := l.tokens[:l.prompt]
	blocks := []int{2, 0}
	prefill(t, c.session, 1, prompt, c.limits.MaxChunk)
	for i, id := range blocks {
		if err := c.session.SaveBlocks(1, i*runner.BlockSize, []int{id}); err != nil {
			t.Fatalf("save: %v", err)
		}
	}
	prefill(t, c.session, 1, other.tokens[:other.prompt], c.limits.MaxChunk)
	if err := c.session.SaveBlocks(1, 0, []int{1}); err != nil { // beside them
		t.Fatalf("save: %v", err)
	}
	c.session.ReleaseSlot(1)

	for _, length := range []int{2 * runner.BlockSize, runner.BlockSize, 2*runner.BlockSize - 1, runner.BlockSize + 3, 1} {
		for _, size := range []int{1, 2, 5, c.limits.MaxChunk} {
			slot := c.limits.Slots - 1 - length%2
			prefill(t, c.session, slot, other.tokens[:other.prompt], c.limits.MaxChunk)
			c.load(t, slot, blocks, length)
			what := name("after %d positions, chunks of %d", length, size)
			l.check(t, what, 0, prefillFrom(t, c.session, slot, prompt, length, size))
		}
	}
	for end := 2*runner.BlockSize + 1; end <= l.prompt; end++ { // a rest of one token is the delicate one
		c.load(t, 0, blocks, 2*runner.BlockSize)
		want := clone(prefill(t, c.alone, 0, prompt[:end], c.limits.MaxChunk))
		rest := &line{want: [][]float32{want}}
		rest.check(t, name("a rest of %d", end-2*runner.BlockSize), 0,
			prefillFrom(t, c.session, 0, prompt[:end], 2*runner.BlockSize, c.limits.MaxChunk))
	}
	c.decodeAlone(t, "after loaded blocks", l)
}

// load copies as many of the blocks as hold the first positions.
func (c *conformance) load(t *testing.T, slot int, blocks []int, length int) {
	t.Helper()
	blocks = blocks[:(length+runner.BlockSize-1)/runner.BlockSize]
	if err := c.session.LoadBlocks(slot, blocks, length); err != nil {
		t.Fatalf("load: %v", err)
	}
}

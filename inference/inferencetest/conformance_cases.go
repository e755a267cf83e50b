package inferencetest

import (
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

// decodeAlone continues a line in slot 0 from its first token.
func (c *conformance) decodeAlone(t *testing.T, what string, l *line) {
	t.Helper()
	for i := range len(l.want) - 1 {
		got := step(t, c.session, runner.Step{Decode: []runner.DecodeRow{l.row(i)}}).Decode[0]
		l.check(t, what, i+1, got)
	}
}

func (c *conformance) testRepeat(t *testing.T) {
	l := c.newLine(t, 1, 11, 6)
	for range 2 {
		l.check(t, "prompt", 0, prefill(t, c.session, 0, l.tokens[:l.prompt], c.limits.MaxChunk))
		c.decodeAlone(t, "decode", l)
	}
}

func (c *conformance) testChunkSizes(t *testing.T) {
	l := c.newLine(t, 2, 19, 3)
	for _, size := range []int{1, 2, 3, 5, 7, c.limits.MaxChunk} {
		l.check(t, name("chunks of %d", size), 0, prefill(t, c.session, 0, l.tokens[:l.prompt], size))
		c.decodeAlone(t, name("after chunks of %d", size), l)
	}
}

func (c *conformance) testChunkWithoutLogits(t *testing.T) {
	got := step(t, c.session, runner.Step{Chunks: []runner.Chunk{{Slot: 1, Tokens: []uint32{1, 0, 1}}}})
	if got.Chunks[0] != nil {
		t.Errorf("a chunk that asks for no logits got %d", len(got.Chunks[0]))
	}
}

// testRows takes the logits of each token of a prompt: those that a prompt which ended there would have, however it is
// cut, and beside other rows.
func (c *conformance) testRows(t *testing.T) {
	l, beside := c.newLine(t, 51, 19, 2), c.newLine(t, 52, 5, 21)
	lines := make([]*line, l.prompt)
	for i := range lines {
		end := l.tokens[:i+1]
		lines[i] = &line{tokens: end, prompt: len(end), want: [][]float32{
			clone(prefill(t, c.alone, 0, end, c.limits.MaxChunk)),
		}}
	}
	prefill(t, c.session, 0, beside.tokens[:beside.prompt], c.cut(8))
	at := 0
	for _, size := range []int{runner.MaxRows, 7, 1} {
		size = min(size, c.limits.MaxChunk)
		for past := 0; past < l.prompt; past += size {
			tokens := l.tokens[past:min(past+size, l.prompt)]
			last := past+len(tokens) == l.prompt
			st := runner.Step{Chunks: []runner.Chunk{{Slot: 1, Tokens: tokens, Past: past, Rows: true, Logits: last}}}
			if at < len(beside.want)-1 {
				st.Decode = []runner.DecodeRow{beside.row(at)}
				at++
			}
			got := step(t, c.session, st)
			if len(got.Rows) != len(tokens) || (got.Chunks[0] != nil) != last {
				t.Fatalf("a chunk of %d tokens has %d rows of logits", len(tokens), len(got.Rows))
			}
			for i, row := range got.Rows {
				lines[past+i].check(t, name("rows of chunks of %d, position %d", size, past+i), 0, row)
			}
			if last {
				l.check(t, "the last of the rows", 0, got.Chunks[0])
			}
		}
	}
}

// testRaggedRows lets lines of different lengths start one after the other, run together, and end one after the
// other, from the last slot.
func (c *conformance) testRaggedRows(t *testing.T) {
	lines := []*line{
		c.newLine(t, 31, 23, 12), c.newLine(t, 32, 1, 10), c.newLine(t, 33, 9, 8), c.newLine(t, 34, 17, 6),
	}
	for i, l := range lines {
		l.check(t, name("prompt %d", i), 0, prefill(t, c.session, i, l.tokens[:l.prompt], c.cut(8)))
	}
	for at := 0; len(lines) > 0; at++ {
		for len(lines) > 0 && at >= len(lines[len(lines)-1].want)-1 {
			lines = lines[:len(lines)-1]
		}
		if len(lines) == 0 {
			break
		}
		var st runner.Step
		for i, l := range lines {
			st.Decode = append(st.Decode, l.rowIn(i, at))
		}
		for i, got := range step(t, c.session, st).Decode {
			lines[i].check(t, name("row %d of %d", i, len(lines)), at+1, got)
		}
	}
}

func (c *conformance) testChunkBesideRows(t *testing.T) {
	a, b, p := c.newLine(t, 41, 5, 8), c.newLine(t, 42, 13, 8), c.newLine(t, 43, 20, 3)
	prefill(t, c.session, 0, a.tokens[:a.prompt], c.cut(8))
	prefill(t, c.session, 1, b.tokens[:b.prompt], c.cut(8))
	for i, past := 0, 0; past < p.prompt; i++ {
		tokens := p.tokens[past:min(past+c.cut(7), p.prompt)]
		last := past+len(tokens) == p.prompt
		got := step(t, c.session, runner.Step{
			Decode: []runner.DecodeRow{a.row(i), b.rowIn(1, i)},
			Chunks: []runner.Chunk{{Slot: 2, Tokens: tokens, Past: past, Logits: last}},
		})
		a.check(t, "row 0", i+1, got.Decode[0])
		b.check(t, "row 1", i+1, got.Decode[1])
		if last {
			p.check(t, "chunk", 0, got.Chunks[0])
		}
		past += len(tokens)
	}
	got := step(t, c.session, runner.Step{Decode: []runner.DecodeRow{a.row(3), b.rowIn(1, 3), p.rowIn(2, 0)}})
	a.check(t, "row 0", 4, got.Decode[0])
	b.check(t, "row 1", 4, got.Decode[1])
	p.check(t, "row 2", 1, got.Decode[2])
}

func (c *conformance) testAnySlot(t *testing.T) {
	l := c.newLine(t, 5, 12, 1)
	for _, slot := range []int{c.limits.Slots - 1, c.limits.Slots / 2, 1, 0} {
		l.check(t, name("slot %d", slot), 0, prefill(t, c.session, slot, l.tokens[:l.prompt], c.cut(5)))
	}
}

// testCopySlot moves a line from the last slot into slot 0, over a longer one.
func (c *conformance) testCopySlot(t *testing.T) {
	long, l := c.newLine(t, 61, 30, 1), c.newLine(t, 62, 10, 5)
	last := c.limits.Slots - 1
	prefill(t, c.session, 0, long.tokens[:long.prompt], c.cut(8))
	prefill(t, c.session, last, l.tokens[:l.prompt], c.cut(8))
	if err := c.session.CopySlot(0, last, l.prompt); err != nil {
		t.Fatalf("copy: %v", err)
	}
	c.session.ReleaseSlot(last)
	c.decodeAlone(t, "after the copy", l)
}

func (c *conformance) testReleaseSlot(t *testing.T) {
	a, b := c.newLine(t, 71, 21, 4), c.newLine(t, 72, 9, 4)
	prefill(t, c.session, 1, b.tokens[:b.prompt], c.cut(8))
	prefill(t, c.session, 0, a.tokens[:a.prompt], c.cut(8))
	c.session.ReleaseSlot(1)
	c.decodeAlone(t, "beside a released slot", a)
	prefill(t, c.session, 0, b.tokens[:b.prompt], c.cut(8))
	c.session.ReleaseSlot(0)
	l := c.newLine(t, 73, 15, 4)
	l.check(t, "in a released slot", 0, prefill(t, c.session, 0, l.tokens[:l.prompt], c.cut(8)))
	c.decodeAlone(t, "in a released slot", l)
}

// testChangedLogits overwrites logits, as sampling does.
func (c *conformance) testChangedLogits(t *testing.T) {
	l := c.newLine(t, 8, 6, 4)
	spoil := func(row []float32) {
		for v := range row {
			row[v] = 1e9
		}
	}
	spoil(prefill(t, c.session, 0, l.tokens[:l.prompt], c.cut(8)))
	for i := range len(l.want) - 1 {
		got := step(t, c.session, runner.Step{Decode: []runner.DecodeRow{l.row(i)}}).Decode[0]
		l.check(t, "decode", i+1, got)
		spoil(got)
	}
}

// testFullSlot decodes the token at the last position of a slot, while the slot beside it is in use.
func (c *conformance) testFullSlot(t *testing.T) {
	n := c.limits.MaxLength - 2
	l, beside := c.newLine(t, 9, n, 3), c.newLine(t, 10, 7, 4)
	l.check(t, "prompt", 0, prefill(t, c.session, 0, l.tokens[:n], c.limits.MaxChunk))
	prefill(t, c.session, 1, beside.tokens[:beside.prompt], c.cut(8))
	for i := range 2 {
		got := step(t, c.session, runner.Step{Decode: []runner.DecodeRow{l.row(i), beside.rowIn(1, i)}})
		l.check(t, "to the end", i+1, got.Decode[0])
		beside.check(t, "beside it", i+1, got.Decode[1])
	}
	got := step(t, c.session, runner.Step{Chunks: []runner.Chunk{{Slot: 2, Tokens: []uint32{0}, Logits: true}}})
	if len(got.Chunks[0]) != c.limits.VocabSize {
		t.Errorf("after a full slot: %d logits", len(got.Chunks[0]))
	}
}

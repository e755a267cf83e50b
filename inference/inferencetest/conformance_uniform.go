package inferencetest

import (
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

// uniform says whether the session promises what the tests of this file are about. One that does not passes.
func (c *conformance) uniform(t *testing.T) bool {
	t.Helper()
	if !c.limits.Uniform {
		t.Log("the session is not uniform")
	}
	return c.limits.Uniform
}

// testSeveralChunks runs prompts together that start one after the other, cut in ways of their own, beside a row in a slot
// behind some of them.
func (c *conformance) testSeveralChunks(t *testing.T) {
	if !c.uniform(t) {
		return
	}
	beside := c.newLine(t, 201, 6, 30)
	prompts := []*line{c.newLine(t, 202, 21, 3), c.newLine(t, 203, 13, 3), c.newLine(t, 204, 2, 3)}
	slots, sizes := []int{3, 0, 2}, []int{2, 1, 5} // the row is in slot 1
	prefill(t, c.session, 1, beside.tokens[:beside.prompt], 8)
	past := make([]int, len(prompts))
	for i, left := 0, len(prompts); left > 0; i++ {
		st := runner.Step{Decode: []runner.DecodeRow{beside.rowIn(1, i)}}
		var of []int
		for k, p := range prompts {
			if i < 2*k || past[k] == p.prompt {
				continue
			}
			n := min(sizes[(i+k)%3], p.prompt-past[k])
			st.Chunks = append(st.Chunks, runner.Chunk{
				Slot: slots[k], Tokens: p.tokens[past[k] : past[k]+n], Past: past[k], Logits: past[k]+n == p.prompt, Rows: k == 0,
			})
			past[k] += n
			of = append(of, k)
		}
		got := step(t, c.session, st)
		beside.check(t, "a row beside chunks", i+1, got.Decode[0])
		for n, k := range of {
			if past[k] == prompts[k].prompt {
				prompts[k].check(t, name("chunk %d of %d", n, len(of)), 0, got.Chunks[n])
				left--
			} else if got.Chunks[n] != nil {
				t.Errorf("chunk %d asked for no logits", n)
			}
		}
	}
	var st runner.Step
	for k, p := range prompts {
		st.Decode = append(st.Decode, p.rowIn(slots[k], 0))
	}
	for k, got := range step(t, c.session, st).Decode {
		prompts[k].check(t, "rows in the order of their chunks", 1, got)
	}
}

// testDraftsBesideRows continues lines in slots of no order, by drafts of several lengths of which some are right, beside
// chunks.
func (c *conformance) testDraftsBesideRows(t *testing.T) {
	if !c.uniform(t) || c.limits.MaxDraft == 0 {
		return
	}
	lines := []*line{c.newLine(t, 211, 9, 24), c.newLine(t, 212, 17, 24), c.newLine(t, 213, 3, 24)}
	other, slots, at := c.newLine(t, 214, 5, 1), []int{2, 0, 3}, make([]int, 3)
	for k, l := range lines {
		prefill(t, c.session, slots[k], l.tokens[:l.prompt], 8)
	}
	for i := range 6 {
		var st runner.Step
		right := make([]int, len(lines))
		for k, l := range lines {
			row := l.rowIn(slots[k], at[k])
			n := min((i+2*k)%4, c.limits.MaxDraft)
			right[k] = n - (i+k)%2*(n/2)
			for d := range n {
				id := l.tokens[l.prompt+at[k]+1+d]
				if d >= right[k] {
					id = (id + 1) % uint32(c.limits.VocabSize)
				}
				row.Draft = append(row.Draft, id)
			}
			st.Decode = append(st.Decode, row)
		}
		if i%2 == 1 {
			st.Chunks = []runner.Chunk{{Slot: 1, Tokens: other.tokens[:other.prompt], Logits: true}}
		}
		got := step(t, c.session, st)
		if i%2 == 1 {
			other.check(t, "a chunk beside drafts", 0, got.Chunks[0])
		}
		drafts := got.Draft
		for k, l := range lines {
			l.check(t, name("step %d, row %d", i, k), at[k]+1, got.Decode[k])
			for d := range right[k] {
				l.check(t, name("step %d, row %d, its draft", i, k), at[k]+2+d, drafts[d])
			}
			drafts = drafts[len(st.Decode[k].Draft):]
			at[k] += 1 + right[k]
		}
	}
}

// testDecodedBlocks saves positions of which some were decoded, some of these in drafts, and loads them as the beginning of a
// prompt.
func (c *conformance) testDecodedBlocks(t *testing.T) {
	if !c.uniform(t) {
		return
	}
	const n = 2 * runner.BlockSize
	l := c.newLine(t, 221, 7, n+3)
	prefill(t, c.session, 2, l.tokens[:l.prompt], 8)
	for i := 0; i < n; i++ {
		row := l.rowIn(2, i)
		if i%5 == 1 && c.limits.MaxDraft > 1 {
			row.Draft = l.tokens[l.prompt+i+1 : l.prompt+i+3]
			i += 2
		}
		step(t, c.session, runner.Step{Decode: []runner.DecodeRow{row}})
	}
	blocks := []int{1, 2}
	if err := c.session.SaveBlocks(2, 0, blocks); err != nil {
		t.Fatalf("save: %v", err)
	}
	c.session.ReleaseSlot(2)
	prompt := l.tokens[:n+5]
	want := &line{want: [][]float32{clone(prefill(t, c.alone, 0, prompt, c.limits.MaxChunk))}}
	for _, length := range []int{n, n - 3, 9} {
		c.load(t, 0, blocks, length)
		want.check(t, name("after %d decoded positions", length), 0, prefillFrom(t, c.session, 0, prompt, length, 8))
	}
	want.check(t, "decoded", 0, l.want[5+n-l.prompt])
}

// testForgotten goes back to where a sequence was some steps before, by a row, a draft and a chunk, and on from there.
func (c *conformance) testForgotten(t *testing.T) {
	if !c.uniform(t) {
		return
	}
	l, slot := c.newLine(t, 231, 9, 12), 2
	prefill(t, c.session, slot, l.tokens[:l.prompt], 8)
	stray := func(from, n int) {
		for i := range n {
			row := l.rowIn(slot, from)
			row.Token, row.Past = (row.Token+1)%uint32(c.limits.VocabSize), row.Past+i
			step(t, c.session, runner.Step{Decode: []runner.DecodeRow{row}})
		}
	}
	stray(0, 4)
	l.check(t, "a row", 1, step(t, c.session, runner.Step{Decode: []runner.DecodeRow{l.rowIn(slot, 0)}}).Decode[0])
	at := 1
	if c.limits.MaxDraft > 0 {
		stray(at, 3)
		row := l.rowIn(slot, at)
		row.Draft = l.tokens[row.Past+1 : row.Past+2]
		got := step(t, c.session, runner.Step{Decode: []runner.DecodeRow{row}})
		l.check(t, "a row with a draft", at+1, got.Decode[0])
		l.check(t, "its draft", at+2, got.Draft[0])
		at += 2
	}
	stray(at, 5)
	past := l.prompt + at
	got := step(t, c.session, runner.Step{Chunks: []runner.Chunk{
		{Slot: slot, Tokens: l.tokens[past : past+3], Past: past, Logits: true},
	}})
	l.check(t, "a chunk", at+3, got.Chunks[0])
}

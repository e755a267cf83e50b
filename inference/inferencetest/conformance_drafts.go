package inferencetest

import (
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

// testDrafts feeds guesses beside a row's token: those that are right give the logits that single steps give, and wrong
// ones leave no trace. A session without drafts passes.
func (c *conformance) testDrafts(t *testing.T) {
	most := min(c.limits.MaxDraft, 8)
	if most == 0 {
		t.Log("the session checks no drafts")
		return
	}
	l, other := c.newLine(t, 61, 9, 24), c.newLine(t, 62, 5, 2)
	for n := 1; n <= most; n++ {
		for right := range n + 1 {
			l.check(t, "prompt", 0, prefill(t, c.session, 0, l.tokens[:l.prompt], c.limits.MaxChunk))
			c.decodeWithDrafts(t, l, other, n, right)
		}
	}
}

// decodeWithDrafts continues a line by drafts of n tokens, of which the first few are right; every other step has a chunk
// beside it.
func (c *conformance) decodeWithDrafts(t *testing.T, l, other *line, n, right int) {
	t.Helper()
	what := name("drafts of %d, %d right", n, right)
	for i, steps := 0, 0; i+1 < len(l.want); steps++ {
		row := l.row(i)
		for k := range min(n, len(l.want)-2-i) {
			id := l.tokens[l.prompt+i+1+k]
			if k >= right {
				id = (id + 1) % uint32(c.limits.VocabSize)
			}
			row.Draft = append(row.Draft, id)
		}
		st := runner.Step{Decode: []runner.DecodeRow{row}}
		if steps%2 == 1 {
			st.Chunks = []runner.Chunk{{Slot: 2, Tokens: other.tokens[:other.prompt], Logits: true}}
		}
		got := step(t, c.session, st)
		if len(st.Chunks) > 0 {
			other.check(t, what+", a chunk beside", 0, got.Chunks[0])
		}
		l.check(t, what, i+1, got.Decode[0])
		i++
		for k := range min(right, len(row.Draft)) {
			l.check(t, what, i+1, got.Draft[k])
			i++
		}
	}
}

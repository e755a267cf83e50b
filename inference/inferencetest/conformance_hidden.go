package inferencetest

import (
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

// testHidden takes the hidden states of a prompt: those that it has alone, however it is cut, in whatever slot, beside rows
// and, where the session takes several chunks, beside others whose hidden states or logits are wanted; and what company they
// are does not show in the others either. A session without hidden states passes.
func (c *conformance) testHidden(t *testing.T) {
	size := c.limits.HiddenSize
	if size == 0 {
		t.Log("the session gives no hidden states")
		return
	}
	l, beside, other := c.newLine(t, 301, 19, 1), c.newLine(t, 302, 5, 40), c.newLine(t, 303, 6, 1)
	states := func(s runner.Session, tokens []uint32, cut int) (all []float32) {
		t.Helper()
		for past := 0; past < len(tokens); past += cut {
			part := tokens[past:min(past+cut, len(tokens))]
			got := step(t, s, runner.Step{Chunks: []runner.Chunk{{Slot: 0, Tokens: part, Past: past, Hidden: true}}})
			if len(got.Hidden) != 1 || len(got.Hidden[0]) != size*len(part) || got.Chunks[0] != nil {
				t.Fatalf("a chunk of %d tokens has hidden states of %d chunks, and %d logits", len(part), len(got.Hidden), len(got.Chunks[0]))
			}
			all = append(all, got.Hidden[0]...)
		}
		return all
	}
	want := states(c.alone, l.tokens[:l.prompt], c.limits.MaxChunk)
	wantOther := states(c.alone, other.tokens[:other.prompt], c.limits.MaxChunk)
	if same := slices.Equal(want[:size], want[size:2*size]); same {
		t.Error("two tokens have the same hidden state")
	}
	if got := states(c.session, l.tokens[:l.prompt], 5); !slices.Equal(got, want) {
		t.Error("in chunks of 5 the hidden states are others")
	}

	prefill(t, c.session, 0, beside.tokens[:beside.prompt], c.cut(8))
	at := 0
	for _, cut := range []int{1, 3, c.limits.MaxChunk - 1} {
		for past := 0; past < l.prompt; past += cut {
			part := l.tokens[past:min(past+cut, l.prompt)]
			st := runner.Step{Chunks: []runner.Chunk{{Slot: 1, Tokens: part, Past: past, Hidden: true}}}
			if at < len(beside.want)-1 {
				st.Decode = []runner.DecodeRow{beside.row(at)}
				at++
			}
			got := step(t, c.session, st)
			if !slices.Equal(got.Hidden[0], want[past*size:(past+len(part))*size]) {
				t.Errorf("beside a row, %d tokens from %d on have other hidden states", len(part), past)
			}
			if len(st.Decode) > 0 {
				beside.check(t, "a row beside hidden states", at, got.Decode[0])
			}
		}
	}
	if !c.limits.Uniform {
		return
	}
	got := step(t, c.session, runner.Step{Chunks: []runner.Chunk{
		{Slot: 3, Tokens: other.tokens[:2], Hidden: true},
		{Slot: 2, Tokens: beside.tokens[:beside.prompt], Logits: true},
		{Slot: 1, Tokens: l.tokens[:1], Hidden: true},
	}})
	if len(got.Hidden) != 2 || !slices.Equal(got.Hidden[0], wantOther[:2*size]) || !slices.Equal(got.Hidden[1], want[:size]) {
		t.Error("of several chunks the hidden states are others")
	}
	beside.check(t, "a chunk between hidden states", 0, got.Chunks[1])
}

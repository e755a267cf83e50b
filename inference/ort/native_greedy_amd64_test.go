package ort

import (
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

// TestNativeGreedy: rows of which only the best logit is read have it where a head in one plane has it, with the same bits, and
// others not above it. The rest differs, so the head is in two planes. A row that is read whole beside them has the bits that it
// has alone; and so has each row in any company.
func TestNativeGreedy(t *testing.T) {
	config := realConfig(t)
	config.Slots, config.MaxLength, config.MaxChunk = 3, 64, 32
	s, _ := openNative(t, openEnvironment(t), config)
	tokens := benchmarkPrompt(config)[:48]
	rows := func(greedy bool) [][]float32 {
		st := runner.Step{Chunks: []runner.Chunk{{Tokens: tokens[:16], Rows: true, Greedy: greedy}}}
		all := copies(step(t, s, st).Rows)
		for past := 16; past < len(tokens); past += 4 { // with drafts
			row := runner.DecodeRow{Token: tokens[past], Past: past, Draft: tokens[past+1 : past+4], Greedy: greedy}
			got := step(t, s, runner.Step{Decode: []runner.DecodeRow{row}})
			all = append(append(all, copies(got.Decode)...), copies(got.Draft)...)
		}
		return all
	}
	whole, greedy := rows(false), rows(true)
	left := 0
	for i := range whole {
		at := slices.Index(whole[i], slices.Max(whole[i]))
		if slices.Max(greedy[i]) != greedy[i][at] || greedy[i][at] != whole[i][at] {
			t.Errorf("token %d: the best logit is %v, at its place %v, of the whole head %v", i, slices.Max(greedy[i]), greedy[i][at], whole[i][at])
		}
		for o := range whole[i] {
			if whole[i][o] != greedy[i][o] {
				left++
			}
		}
	}
	if left == 0 {
		t.Error("all logits were computed")
	}

	step(t, s, runner.Step{Chunks: []runner.Chunk{{Slot: 1, Tokens: tokens[:20]}}})
	for past := 20; past < 44; past++ {
		st := runner.Step{
			Decode: []runner.DecodeRow{{Token: tokens[past], Past: past, Greedy: past%2 == 0}, {Slot: 1, Token: tokens[past], Past: past, Greedy: past%3 == 0}},
			Chunks: []runner.Chunk{{Slot: 2, Tokens: tokens[:16], Logits: true, Greedy: past%5 != 0}},
		}
		got := step(t, s, st)
		for i, c := range []struct {
			row    []float32
			at     int
			greedy bool
		}{{got.Decode[0], past, st.Decode[0].Greedy}, {got.Decode[1], past, st.Decode[1].Greedy}, {got.Chunks[0], 15, st.Chunks[0].Greedy}} {
			want := whole
			if c.greedy {
				want = greedy
			}
			if !slices.Equal(c.row, want[c.at]) {
				t.Errorf("row %d after token %d, greedy %t, differs from itself alone", i, c.at, c.greedy)
			}
		}
	}
}

// copies are rows of their own.
func copies(rows [][]float32) [][]float32 {
	all := make([][]float32, len(rows))
	for i, row := range rows {
		all[i] = slices.Clone(row)
	}
	return all
}

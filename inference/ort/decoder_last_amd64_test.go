package ort

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
	"github.com/sluiceml/sluice/inference/runner"
)

// leavesOut holds a decoder to what it need not make: once the last layer has keys and values, nothing is made of rows that
// are not wanted, and no queries of them.
func leavesOut(t *testing.T, d *decoder, queries int) {
	t.Helper()
	last, attends := 0, []kernels.Attend(nil)
	for i, a := range d.actions {
		if attend, ok := a.action.(kernels.Attend); ok {
			last, attends = i, append(attends, attend)
		}
	}
	for i, attend := range attends {
		if attend.Chosen != (i == len(attends)-1) {
			t.Errorf("attention %d of %d leaves results out: %t", i, len(attends), attend.Chosen)
		}
	}
	made := 0 // columns of what it reads, of wanted rows only
	for _, a := range d.actions[:last] {
		if m, ok := a.action.(kernels.Multiply); ok && m.Y == attends[len(attends)-1].X && m.Column == 0 {
			made = m.Chosen
		}
	}
	if made != queries {
		t.Errorf("%d of %d queries of the last layer are left out", made, queries)
	}
	for _, a := range d.actions[last+1:] {
		wanted := false
		switch a := a.action.(type) {
		case kernels.Norm:
			wanted = a.Wanted
		case kernels.Add:
			wanted = a.Wanted
		case kernels.Multiply:
			wanted = a.Wanted
		case kernels.Select:
			wanted = true
		}
		if !wanted {
			t.Errorf("%+v after the last layer's attention, of all rows", a.action)
		}
	}
}

// TestNativeLeavesOut: a token's logits are the same bits whether those of other tokens of its step are wanted or not, of
// decoded tokens, drafts and chunks, and of tokens behind a chunk of which none were.
func TestNativeLeavesOut(t *testing.T) {
	const length, tail = 70, runner.MaxRows
	env := openEnvironment(t)
	for threads := 1; threads <= 3; threads++ {
		t.Run(fmt.Sprintf("%d threads", threads), func(t *testing.T) {
			config := realConfig(t)
			config.Device.Threads = threads
			s, n := openNative(t, env, config)
			leavesOut(t, n.packed.decoder, n.packed.heads*config.Graph.HeadSize)
			tokens := prompt(rand.New(rand.NewPCG(51, 52)), config.Graph.VocabSize, length+tail)
			for slot := range 4 { // none are wanted
				step(t, s, runner.Step{Chunks: []runner.Chunk{{Slot: slot, Tokens: tokens[:length]}}})
			}
			var all [][]float32 // all are wanted
			for _, row := range step(t, s, runner.Step{Chunks: []runner.Chunk{{Tokens: tokens[length:], Past: length, Rows: true}}}).Rows {
				all = append(all, slices.Clone(row))
			}
			for i := 1; i <= tail; i++ { // the last one is wanted
				got := step(t, s, runner.Step{Chunks: []runner.Chunk{{Slot: 1, Tokens: tokens[length:][:i], Past: length, Logits: true}}}).Chunks[0]
				if !slices.Equal(got, all[i-1]) {
					t.Errorf("logits differ behind %d tokens whose logits are not wanted", i-1)
				}
			}
			// A decoded token and a draft, a chunk's last one, and a chunk of which none are wanted.
			got := step(t, s, runner.Step{
				Decode: []runner.DecodeRow{{Slot: 1, Token: tokens[length+2], Past: length + 2, Draft: tokens[length+3:][:2]}},
				Chunks: []runner.Chunk{
					{Slot: 2, Tokens: tokens[length:][:9], Past: length, Logits: true}, {Slot: 3, Tokens: tokens[length:][:11], Past: length},
				},
			})
			for name, c := range map[string]struct {
				got   []float32
				place int
			}{"decoded": {got.Decode[0], 2}, "drafted": {got.Draft[1], 4}, "a chunk's last": {got.Chunks[0], 8}} {
				if !slices.Equal(c.got, all[c.place]) {
					t.Errorf("%s: logits differ", name)
				}
			}
			if after := step(t, s, runner.Step{Decode: []runner.DecodeRow{{Slot: 3, Token: tokens[length+11], Past: length + 11}}}).Decode[0]; !slices.Equal(after, all[11]) {
				t.Error("logits differ behind a chunk of which none were wanted")
			}
		})
	}
}

// TestEarlyChoice: a graph may choose wanted rows before it is done with all of them. A chunk of which none are wanted leaves the same
// keys and values then, and reads nothing of an index that is empty.
func TestEarlyChoice(t *testing.T) {
	g := newSmallGraph(func(g *smallGraph) {
		g.wanted("x", "early")
		g.wanted(smallState, "late")
		g.node("Add", []string{"early", "late"}, []string{"both"})
		g.product("both", "logits", smallHidden, smallVocabulary)
	})
	place := func(value string) int {
		return slices.IndexFunc(g.m.Graph.Nodes, func(n modelonnx.Node) bool { return n.Outputs[0] == value })
	}
	early := *g.maker("early")
	g.m.Graph.Nodes = slices.Delete(g.m.Graph.Nodes, place("early"), place("early")+1)
	g.m.Graph.Nodes = slices.Insert(g.m.Graph.Nodes, place("qkv"), early)
	s, n := openNative(t, openEnvironment(t), g.write(t))
	if n.packed.program == nil {
		t.Fatal("the graph runs node by node")
	}
	tokens := []uint32{3, 1, 4, 1, 5, 9, 2, 6, 5}
	var after [2][]float32
	for slot, wanted := range []bool{true, false} {
		for i := range n.index {
			n.index[i] = 1 << 40 // far outside of all that there is
		}
		step(t, s, runner.Step{Chunks: []runner.Chunk{{Slot: slot, Tokens: tokens, Logits: wanted}}})
		after[slot] = slices.Clone(step(t, s, runner.Step{Decode: []runner.DecodeRow{{Slot: slot, Token: 3, Past: len(tokens)}}}).Decode[0])
	}
	if !slices.Equal(after[0], after[1]) {
		t.Error("logits differ behind a chunk of which none were wanted")
	}
}

package ort

import (
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
)

// leaveOut notes what need not be made of tokens that are not wanted. Behind the last layer's attention the graphs that
// Sluice's converter makes go on with wanted tokens alone, of a prompt with its last one or none. So attention whose result
// is only chosen from need not be computed for others, and needs no queries of theirs: just their keys and values.
func (t *translation) leaveOut(nodes []modelonnx.Node) {
	choices := map[string]int{}
	for i := range nodes {
		if n := &nodes[i]; is(n, "Gather") { // of wanted rows: there is no other among actions
			choices[n.Inputs[0]]++
		}
	}
	for i := range nodes {
		n := &nodes[i]
		if !is(n, kernels.SlotAttention) || choices[n.Outputs[0]] == 0 || choices[n.Outputs[0]] != t.readers[n.Outputs[0]] {
			continue
		}
		result, x := t.values[n.Outputs[0]], n.Inputs[0]
		result.chosen = true
		if t.readers[x] == 1 {
			t.values[x].queries = result.width
		}
	}
}

// chosenColumns is how many of a product's columns, the first ones, nothing reads of tokens that are not wanted.
func (t *translation) chosenColumns(n *modelonnx.Node) int {
	v := t.values[n.Outputs[0]]
	whole := v
	if v.within != nil {
		whole = v.within
	}
	if v.column > 0 || v.width < whole.queries {
		return 0 // queries that lie in several products are all made
	}
	return whole.queries
}

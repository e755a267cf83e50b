package ort

import (
	"slices"

	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
)

// headNorms finds the norms of queries and keys that go, side by side with values and through a Reshape, into attention, and
// notes their weights. It gives what attention then reads: queries, keys and values as they were before their norms; "" if
// there are no such norms.
func (f *fuser) headNorms(rows *modelonnx.Node, a *fusedAttention) string {
	const queries, keys, values, parts = 0, 1, 2, 3
	packed := rows.Inputs[0]
	at, ok := f.producer[packed]
	joined := f.of(packed, "Concat")
	if !ok || joined == nil || len(joined.Inputs) != parts || number(joined, "axis", 0) != 1 || len(f.users[packed]) != 1 {
		return ""
	}
	of := [parts]string{values: joined.Inputs[values]}
	var norms [values]*modelonnx.Node
	for i, heads := range [values]int{f.fused.heads, f.about.KVHeads} {
		if norms[i], of[i] = f.normed(joined.Inputs[i], heads); norms[i] == nil {
			return ""
		}
	}
	q, k := norms[queries], norms[keys]
	whole := [values]bool{}
	for i, heads := range [values]int{f.fused.heads, f.about.KVHeads} {
		switch f.normWidth(norms[i].Inputs[1]) {
		case f.about.HeadSize: // and, of one head, of all
		case heads * f.about.HeadSize:
			whole[i] = true
		}
	}
	if epsilon := fraction(q, "epsilon", defaultEpsilon); epsilon != fraction(k, "epsilon", defaultEpsilon) || whole[queries] != whole[keys] && f.about.KVHeads > 1 {
		return ""
	}
	raw := f.apart(of[:])
	if raw == "" {
		if len(f.users[rows.Outputs[0]]) != 1 {
			return "" // something else reads them with their norms
		}
		raw = packed // of products that lie apart: they are put side by side as they are
		f.replaced[at] = &modelonnx.Node{
			Name: joined.Name, Op: joined.Op, Inputs: of[:], Outputs: joined.Outputs, Attributes: joined.Attributes,
		}
	}
	a.queryNorm, a.keyNorm, a.whole, a.epsilon = q.Inputs[1], k.Inputs[1], whole[queries], fraction(q, "epsilon", defaultEpsilon)
	return raw
}

// normed finds the RMS norm that makes a value of a number of heads, [tokens, heads · size]: of each head by itself, between
// Reshapes, or of all together. It gives what the norm is of, too.
func (f *fuser) normed(value string, heads int) (norm *modelonnx.Node, of string) {
	if len(f.users[value]) != 1 {
		return nil, ""
	}
	size, width, result := f.about.HeadSize, heads*f.about.HeadSize, value
	flat := f.of(value, "Reshape")
	if flat != nil {
		if !reads(flat, input(flat, 0), input(flat, 1)) || !f.holds(input(flat, 1), -1, int64(width)) || len(flat.Attributes) != 0 || len(f.users[flat.Inputs[0]]) != 1 {
			return nil, ""
		}
		result, width = flat.Inputs[0], size
	}
	norm = f.of(result, "SimplifiedLayerNormalization")
	if norm == nil || len(norm.Inputs) != 2 || len(norm.Outputs) != 1 || f.normWidth(norm.Inputs[1]) != width || slices.ContainsFunc(norm.Attributes, unknownOfNorm) {
		return nil, ""
	}
	of = norm.Inputs[0]
	if flat != nil {
		split := f.of(of, "Reshape")
		if split == nil || !reads(split, input(split, 0), input(split, 1)) || !f.holds(input(split, 1), -1, int64(size)) || len(split.Attributes) != 0 || len(f.users[of]) != 1 {
			return nil, ""
		}
		of = split.Inputs[0]
	}
	if f.ranks[of] != 2 || len(f.users[of]) != 1 {
		return nil, ""
	}
	return norm, of
}

// apart is the value of which parts are queries, keys and values, cut where their heads end; "" if there is none.
func (f *fuser) apart(parts []string) string {
	split := f.of(parts[0], "Split")
	queries, keys := int64(f.fused.heads*f.about.HeadSize), int64(f.about.KVHeads*f.about.HeadSize)
	if split == nil || !slices.Equal(split.Outputs, parts) || len(split.Inputs) != 2 || number(split, "axis", 0) != 1 ||
		!f.holds(split.Inputs[1], queries, keys, keys) || f.ranks[split.Inputs[0]] != 2 {
		return ""
	}
	return split.Inputs[0]
}

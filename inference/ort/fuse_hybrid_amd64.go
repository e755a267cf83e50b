package ort

import (
	"slices"

	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
)

// hybridAttention replaces the two nodes of a layer of a hybrid graph, one for decode rows on 8-bit keys and values and one
// for a prompt's chunk on float32 ones, and what divides tokens between them, with one node for all tokens. Its keys and
// values have 16 bits, so that no scales of them are needed.
func (f *fuser) hybridAttention(n *modelonnx.Node) error {
	h := f.about.Hybrid
	layer := f.layerOf(n, graphSlots(f.about))
	if layer < 0 && f.layerOf(n, chunkSlots(h)) >= 0 {
		return nil // the chunk's, which is replaced with the rows'
	}
	elsewhere := &unfusable{"attention " + n.Name + " stands between other nodes"}
	rows := f.of(input(n, 0), "Reshape")
	if layer < 0 || rows == nil || !reads(rows, input(rows, 0), h.RowsShape) {
		return elsewhere
	}
	parts := f.of(rows.Inputs[0], "Split")
	if parts == nil || f.ranks[input(parts, 0)] != 2 || !reads(parts, input(parts, 0), h.Split) || number(parts, "axis", 0) != 0 ||
		len(parts.Outputs) != 2 || parts.Outputs[0] != rows.Inputs[0] {
		return elsewhere
	}
	_, only := f.only(parts.Outputs[1], "Unsqueeze")
	if only == nil || !reads(only, parts.Outputs[1], input(only, 1)) || !f.holds(input(only, 1), 0) {
		return elsewhere
	}
	_, chunk := f.only(only.Outputs[0], "GroupQueryAttention")
	if chunk == nil || chunk.Inputs[0] != only.Outputs[0] || f.layerOf(chunk, chunkSlots(h)) != layer {
		return elsewhere
	}
	a, heads, err := f.attends(chunk, layer)
	if err != nil {
		return err
	}
	if !attendAlike(n, chunk) {
		return &unfusable{"attention " + n.Name + " is another for a chunk"}
	}
	_, flatRows := f.flat(n, heads)
	_, flatChunk := f.flat(chunk, heads)
	if flatRows == nil || flatChunk == nil {
		return elsewhere
	}
	at, joined := f.only(flatRows.Outputs[0], "Concat")
	if joined == nil || !reads(joined, flatRows.Outputs[0], flatChunk.Outputs[0]) || number(joined, "axis", -1) != 0 || len(f.users[flatChunk.Outputs[0]]) != 1 {
		return elsewhere
	}
	f.fused.heads = heads
	f.attend(at, layer, a, n.Name, parts.Inputs[0])
	return nil
}

// attendAlike says whether attention of rows, on rounded keys and values, does what that of a chunk does: the same attributes but
// for the rounding, and the same tables.
func attendAlike(rows, chunk *modelonnx.Node) bool {
	const keys, values, cosines, sines, keyScales, valueScales = 1, 2, 7, 8, 12, 13
	rounding := func(a modelonnx.Attribute) bool {
		return slices.Contains([]string{"k_quant_type", "v_quant_type", "kv_cache_bit_width"}, a.Name)
	}
	kept := slices.DeleteFunc(slices.Clone(rows.Attributes), rounding)
	same := slices.EqualFunc(kept, chunk.Attributes, func(a, b modelonnx.Attribute) bool {
		return a.Name == b.Name && a.Kind == b.Kind && a.Int == b.Int && a.Float == b.Float
	})
	for i := range rows.Inputs {
		switch {
		case i == keys || i == values || i > sines && i != keyScales && i != valueScales:
			same = same && input(rows, i) == ""
		case i == cosines || i == sines:
			same = same && input(rows, i) == input(chunk, i)
		}
	}
	return same
}

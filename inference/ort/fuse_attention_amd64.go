package ort

import (
	"fmt"
	"slices"
	"strings"

	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
)

// unknownAttribute says whether attention does not look at an attribute of a GroupQueryAttention.
func unknownAttribute(a modelonnx.Attribute) bool {
	switch a.Name {
	case "num_heads", "kv_num_heads", "do_rotary", "rotary_interleaved", "local_window_size", "smooth_softmax":
		return a.Kind != modelonnx.KindInt
	case "scale", "softcap":
		return a.Kind != modelonnx.KindFloat
	}
	return true
}

// turned is how many pairs of a head's values a table in the data file holds an angle for; 0: it is none.
func (f *fuser) turned(table string) int {
	t := f.initializers[table]
	if t == nil || t.Type != modelonnx.Float || t.External == nil || len(t.Dims) != 2 || t.Dims[1] < 1 || t.Dims[1] > int64(f.about.HeadSize/2) {
		return 0
	}
	return int(t.Dims[1])
}

// turns says whether a node turns queries and keys by tables that decoders know, or by none, and notes how many pairs of a
// head's values it turns.
func (f *fuser) turns(n *modelonnx.Node, a *fusedAttention) bool {
	a.pairs = f.turned(a.cosines)
	switch number(n, "do_rotary", 0) {
	case 0:
		return a.cosines == "" && a.sines == ""
	case 1:
		return a.pairs > 0 && f.turned(a.sines) == a.pairs
	}
	return false
}

// attention replaces a GroupQueryAttention.
func (f *fuser) attention(n *modelonnx.Node) error {
	const keys, values, pastKey, cosines, sines = 1, 2, 3, 7, 8
	layer := -1
	a := fusedAttention{
		scale: fraction(n, "scale", 0), softcap: fraction(n, "softcap", 0), window: int(number(n, "local_window_size", -1)),
		cosines: input(n, cosines), sines: input(n, sines),
	}
	for i := range f.about.Layers {
		if input(n, pastKey) == fmt.Sprintf(f.about.PastKey, i) {
			layer = i
		}
	}
	heads := int(number(n, "num_heads", 0))
	switch {
	case layer < 0 || f.fused.layers[layer].node != nil:
		return &unfusable{"attention " + n.Name + " is not of a layer of its own"}
	case input(n, keys) != "" || input(n, values) != "" || number(n, "rotary_interleaved", 0) != 0 ||
		a.window < -1 || a.window == 0 || a.window > kernels.MaxSide || !(a.softcap >= 0) || number(n, "smooth_softmax", 0) != 0 || !(a.scale > 0):
		return &unfusable{"attention " + n.Name + " is of another kind"}
	case !f.turns(n, &a):
		return &unfusable{"attention " + n.Name + " turns heads by other tables"}
	case slices.ContainsFunc(n.Attributes, unknownAttribute):
		return &unfusable{"attention " + n.Name + " has attributes that are not known"}
	case len(n.Inputs) > sines+1 && strings.Join(n.Inputs[sines+1:], "") != "":
		return &unfusable{"attention " + n.Name + " has inputs that are not known"}
	case int(number(n, "kv_num_heads", 0)) != f.about.KVHeads || heads < 1 || heads > kernels.MaxSide || heads%f.about.KVHeads != 0 ||
		(heads+2*f.about.KVHeads)*f.about.HeadSize > kernels.MaxSide:
		return &unfusable{"attention " + n.Name + " has other heads than its cache"}
	case f.fused.heads != 0 && f.fused.heads != heads:
		return &unfusable{"its layers have different numbers of heads"}
	}
	rows := f.of(n.Inputs[0], "Reshape")
	at, flat := f.only(n.Outputs[0], "Reshape")
	if rows == nil || f.ranks[input(rows, 0)] != 2 || flat == nil || !reads(flat, n.Outputs[0], input(flat, 1)) || !f.holds(input(flat, 1), -1, int64(heads*f.about.HeadSize)) {
		return &unfusable{"attention " + n.Name + " stands between other nodes"}
	}
	f.fused.heads = heads
	packed := rows.Inputs[0]
	if raw := f.headNorms(rows, &a); raw != "" {
		packed = raw
	}
	a.node = &modelonnx.Node{
		Name: n.Name, Domain: kernels.Domain, Op: kernels.SlotAttention, Inputs: []string{packed}, Outputs: flat.Outputs,
	}
	f.fused.layers[layer] = a
	f.replaced[at] = a.node
	return nil
}

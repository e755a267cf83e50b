package ort

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluiceml/sluice/inference/model"
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

// slots are the inputs and outputs of a graph that a GroupQueryAttention has beside what it is of: keys and values, by the formats
// of their names, and the lengths of sequences. The kernels have these from a session's state, so a node must have just those that the
// session gives.
type slots struct{ pastKey, pastValue, presentKey, presentValue, lengths, longest string }

// graphSlots are those of a graph, and of a hybrid one's rows.
func graphSlots(g model.Graph) slots {
	return slots{g.PastKey, g.PastValue, g.PresentKey, g.PresentValue, g.SeqlensK, g.TotalSequenceLength}
}

// chunkSlots are those of a hybrid graph's chunk.
func chunkSlots(h *model.HybridGraph) slots {
	return slots{h.PastKey, h.PastValue, h.PresentKey, h.PresentValue, h.SeqlensK, h.TotalSequenceLength}
}

// layerOf is the layer whose slots a GroupQueryAttention has, or -1.
func (f *fuser) layerOf(n *modelonnx.Node, s slots) int {
	const keys, values, lengths, longest = 3, 4, 5, 6
	for i := range f.about.Layers {
		of := func(format string) string { return fmt.Sprintf(format, i) }
		if input(n, keys) == of(s.pastKey) && input(n, values) == of(s.pastValue) && input(n, lengths) == s.lengths && input(n, longest) == s.longest &&
			slices.Equal(n.Outputs[1:], []string{of(s.presentKey), of(s.presentValue)}) {
			return i
		}
	}
	return -1
}

// isStep says whether a value is the shape of the step's tokens and a width: [B, S, width], for tokens [B, S].
func (f *fuser) isStep(shape string, width int) bool {
	joined := f.of(shape, "Concat")
	if joined == nil || number(joined, "axis", -1) != 0 || !reads(joined, input(joined, 0), input(joined, 1)) || !f.holds(input(joined, 1), int64(width)) {
		return false
	}
	tokens := f.of(input(joined, 0), "Shape")
	return tokens != nil && reads(tokens, f.about.InputIDs) && len(tokens.Attributes) == 0
}

// attends says how a GroupQueryAttention attends that is a layer's.
func (f *fuser) attends(n *modelonnx.Node, layer int) (a fusedAttention, heads int, err error) {
	const keys, values, cosines, sines = 1, 2, 7, 8
	a = fusedAttention{
		scale: fraction(n, "scale", 0), softcap: fraction(n, "softcap", 0), window: int(number(n, "local_window_size", -1)),
		cosines: input(n, cosines), sines: input(n, sines),
	}
	heads = int(number(n, "num_heads", 0))
	refuse := func(why string) (fusedAttention, int, error) {
		return a, 0, &unfusable{"attention " + n.Name + " " + why}
	}
	switch {
	case layer < 0 || f.fused.layers[layer].node != nil:
		return refuse("is not of a layer's own keys, values and lengths")
	case input(n, keys) != "" || input(n, values) != "" || number(n, "rotary_interleaved", 0) != 0 ||
		a.window < -1 || a.window == 0 || a.window > kernels.MaxSide || !(a.softcap >= 0) || number(n, "smooth_softmax", 0) != 0 || !(a.scale > 0):
		return refuse("is of another kind")
	case !f.turns(n, &a):
		return refuse("turns heads by other tables")
	case slices.ContainsFunc(n.Attributes, unknownAttribute):
		return refuse("has attributes that are not known")
	case len(n.Inputs) > sines+1 && strings.Join(n.Inputs[sines+1:], "") != "":
		return refuse("has inputs that are not known")
	case int(number(n, "kv_num_heads", 0)) != f.about.KVHeads || heads < 1 || heads > kernels.MaxSide || heads%f.about.KVHeads != 0 ||
		(heads+2*f.about.KVHeads)*f.about.HeadSize > kernels.MaxSide:
		return refuse("has other heads than its cache")
	case f.fused.heads != 0 && f.fused.heads != heads:
		return refuse("has another number of heads than other layers")
	}
	return a, heads, nil
}

// flat finds the Reshape that alone reads attention's result, of so many heads, and makes rows of it.
func (f *fuser) flat(n *modelonnx.Node, heads int) (int, *modelonnx.Node) {
	at, flat := f.only(n.Outputs[0], "Reshape")
	if flat == nil || !reads(flat, n.Outputs[0], input(flat, 1)) || !f.holds(input(flat, 1), -1, int64(heads*f.about.HeadSize)) {
		return 0, nil
	}
	return at, flat
}

// attend puts attention in the place of a node, whose results it has.
func (f *fuser) attend(at, layer int, a fusedAttention, name, packed string) {
	a.node = &modelonnx.Node{
		Name: name, Domain: kernels.Domain, Op: kernels.SlotAttention, Inputs: []string{packed}, Outputs: f.graph.Nodes[at].Outputs,
	}
	f.fused.layers[layer] = a
	f.replaced[at] = a.node
}

// attention replaces a GroupQueryAttention.
func (f *fuser) attention(n *modelonnx.Node) error {
	layer := f.layerOf(n, graphSlots(f.about))
	a, heads, err := f.attends(n, layer)
	if err != nil {
		return err
	}
	rows := f.of(n.Inputs[0], "Reshape")
	at, flat := f.flat(n, heads)
	if rows == nil || f.ranks[input(rows, 0)] != 2 || !reads(rows, rows.Inputs[0], input(rows, 1)) ||
		!f.isStep(input(rows, 1), (heads+2*f.about.KVHeads)*f.about.HeadSize) || flat == nil {
		return &unfusable{"attention " + n.Name + " stands between other nodes"}
	}
	f.fused.heads = heads
	packed := rows.Inputs[0]
	if raw := f.headNorms(rows, &a); raw != "" {
		packed = raw
	}
	f.attend(at, layer, a, n.Name, packed)
	return nil
}

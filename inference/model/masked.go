package model

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluiceml/sluice/inference/model/internal/mmap"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// MaskedGraph describes what another exporter's graph has in place of lengths: a mask, and logits of every token. Of
// the Graph around it, SeqlensK, TotalSequenceLength and LogitsIndices are empty, and Data counts for nothing: the
// graph names its own files. B, S and V are as in Graph; T is the tokens of the longest row after the step.
type MaskedGraph struct {
	AttentionMask string `json:"attention_mask"`          // int64 [B, T]: 1 for each token of a row, then 0
	PositionIDs   string `json:"position_ids,omitzero"`   // int64 [B, S]; "": the graph counts by itself
	LogitsToKeep  string `json:"logits_to_keep,omitzero"` // int64 scalar: of how many of the last tokens logits are given; "": of all, [B, S, V]
	LogitsType    string `json:"logits_type"`             // "float32" or "float16"

	// Shared says that past and present may be one buffer that is longer than what it holds, and that rows of a step may
	// have lengths of their own: all attention is GroupQueryAttention whose lengths are the mask's sums. Otherwise a past
	// must be exactly as long as what it holds, and a step takes one row.
	Shared bool `json:"shared"`
}

// validate says what is missing or wrong.
func (m *MaskedGraph) validate(kv string, fault func(field, reason string)) {
	if m.AttentionMask == "" {
		fault("masked.attention_mask", errMissing.Error())
	}
	for field, kind := range map[string]string{"masked.logits_type": m.LogitsType, "kv_type": kv} {
		if kind != kvFloat32 && kind != kvFloat16 {
			fault(field, fmt.Sprintf("%.20q is not supported in this kind of graph, only %q and %q are", kind, kvFloat32, kvFloat16))
		}
	}
}

// The types of keys, values and logits.
const (
	kvFloat32 = "float32"
	kvFloat16 = "float16"
)

// The names of the inputs of graphs of optimum, transformers.js and onnxruntime-genai.
const (
	inputIDsName      = "input_ids"
	attentionMaskName = "attention_mask"
	positionIDsName   = "position_ids"
	logitsToKeepName  = "num_logits_to_keep"
	logitsName        = "logits"
)

// masked is a graph of another exporter, as its file says it.
type masked struct {
	path  string
	graph Graph
	files []string // that its weights lie in, sorted, relative to the graph's folder
}

// readMasked describes the graph at path. names holds the names that a configuration gives, or the usual ones; sizes
// that the graph does not say stay 0.
func readMasked(path string, names Graph) (_ *masked, err error) {
	file, err := mmap.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the graph: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	m, err := onnx.Unmarshal(file.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return describeMasked(path, m, names)
}

// describeMasked describes a graph that was read from path.
func describeMasked(path string, m *onnx.Model, names Graph) (*masked, error) {
	names.File = filepath.Base(path)
	d := description{path: path, model: m, graph: names}
	d.inputs()
	d.outputs()
	if d.err != nil {
		return nil, d.err
	}
	d.graph.Masked.Shared = d.shared()
	files := map[string]bool{}
	for _, t := range m.Graph.Initializers {
		if t.External == nil {
			continue
		}
		if !filepath.IsLocal(t.External.Location) {
			return nil, fmt.Errorf("%s: the weights of %.80q lie at %.80q, which is not inside the folder", path, t.Name, t.External.Location)
		}
		files[filepath.Clean(t.External.Location)] = true
	}
	return &masked{path: path, graph: d.graph, files: slices.Sorted(maps.Keys(files))}, nil
}

// description reads a graph's inputs and outputs. The first error sticks.
type description struct {
	path  string
	model *onnx.Model
	graph Graph
	err   error
}

// refusef notes why the graph cannot be served.
func (d *description) refusef(format string, args ...any) {
	if d.err == nil {
		d.err = unsupported(d.path, format, args...)
	}
}

// inputs goes through what the graph takes: each input must be one that a session can fill.
func (d *description) inputs() {
	g, m := &d.graph, d.graph.Masked
	values := map[string]onnx.Value{}
	for _, v := range d.model.Graph.Inputs {
		values[v.Name] = v
	}
	for _, t := range d.model.Graph.Initializers {
		delete(values, t.Name) // an old graph lists its weights among its inputs
	}
	take := func(name string, kinds ...onnx.DataType) bool {
		v, ok := values[name]
		if ok && !slices.Contains(kinds, v.Type) {
			d.refusef("its input %.80q is %v, want %v", name, v.Type, kinds[0])
		}
		delete(values, name)
		return ok
	}
	if !take(g.InputIDs, onnx.Int64) {
		d.refusef("it has no input %.80q", g.InputIDs)
	}
	if !take(m.AttentionMask, onnx.Int64) {
		d.refusef("it has no input %.80q", m.AttentionMask)
	}
	if !take(m.PositionIDs, onnx.Int64) {
		m.PositionIDs = ""
	}
	if !take(m.LogitsToKeep, onnx.Int64) {
		m.LogitsToKeep = ""
	}
	for g.Layers = 0; g.Layers <= maxLayers; g.Layers++ {
		key, value := fmt.Sprintf(g.PastKey, g.Layers), fmt.Sprintf(g.PastValue, g.Layers)
		if _, ok := values[key]; !ok {
			break
		}
		for _, name := range []string{key, value} {
			d.cache(values[name], name, g.Layers > 0 || name == value)
			delete(values, name)
		}
	}
	if g.Layers == 0 && d.err == nil {
		d.refusef("it has no input %.80q: a graph without a cache of keys and values is not served", fmt.Sprintf(g.PastKey, 0))
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		d.refusef("its input %.80q is not supported", name)
	}
}

// cache takes the sizes of a key or value input, which must be those of all before it.
func (d *description) cache(v onnx.Value, name string, known bool) {
	g := &d.graph
	kind := map[onnx.DataType]string{onnx.Float: kvFloat32, onnx.Float16: kvFloat16}[v.Type]
	if kind == "" || len(v.Shape) != 4 {
		d.refusef("its input %.80q is %v with %d dimensions, want float or float16 with 4", name, v.Type, len(v.Shape))
		return
	}
	heads, size := int(v.Shape[1].Size), int(v.Shape[3].Size)
	if !known {
		g.KVType, g.KVHeads, g.HeadSize = kind, heads, size
		return
	}
	if kind != g.KVType || heads != g.KVHeads || size != g.HeadSize {
		d.refusef("its inputs %.80q and %.80q differ in type or size: layers with caches of their own sort are not supported",
			fmt.Sprintf(g.PastKey, 0), name)
	}
}

// outputs finds the logits and the caches. Others are left alone.
func (d *description) outputs() {
	g := &d.graph
	values := map[string]onnx.Value{}
	for _, v := range d.model.Graph.Outputs {
		values[v.Name] = v
	}
	logits, ok := values[g.Logits]
	kind := map[onnx.DataType]string{onnx.Float: kvFloat32, onnx.Float16: kvFloat16}[logits.Type]
	switch {
	case !ok:
		d.refusef("it has no output %.80q", g.Logits)
	case kind == "" || len(logits.Shape) != 3:
		d.refusef("its output %.80q is %v with %d dimensions, want float or float16 with 3", g.Logits, logits.Type, len(logits.Shape))
	default:
		g.Masked.LogitsType, g.VocabSize = kind, int(logits.Shape[2].Size)
		if logits.Shape[1].Size == 1 && g.Masked.LogitsToKeep == "" {
			d.refusef("its output %.80q holds the last token's logits only, and Sluice must choose of which token it wants them", g.Logits)
		}
	}
	for layer := range g.Layers {
		for _, template := range []string{g.PresentKey, g.PresentValue} {
			if _, ok := values[fmt.Sprintf(template, layer)]; !ok {
				d.refusef("it has no output %.80q", fmt.Sprintf(template, layer))
			}
		}
	}
}

// shared says whether all that reads a cache is GroupQueryAttention, which may write into the same buffer, with the
// sums of the mask as the lengths of its rows.
func (d *description) shared() bool {
	var (
		g        = &d.graph
		producer = map[string]*onnx.Node{}
		readers  = map[string]int{}
		layers   = map[string]int{}  // by the name of the past key
		fixed    = map[string]bool{} // what is a shared buffer's in the right place
	)
	for layer := range g.Layers {
		layers[fmt.Sprintf(g.PastKey, layer)] = layer
	}
	for i := range d.model.Graph.Nodes {
		n := &d.model.Graph.Nodes[i]
		for _, name := range n.Inputs {
			readers[name]++
		}
		for _, name := range n.Outputs {
			producer[name] = n
		}
		if n.Op != "GroupQueryAttention" || n.Domain != "com.microsoft" || len(n.Inputs) < 7 || len(n.Outputs) < 3 {
			continue
		}
		if !summed(producer, n.Inputs[5], g.Masked.AttentionMask) {
			return false
		}
		if layer, ok := layers[n.Inputs[3]]; ok && n.Inputs[4] == fmt.Sprintf(g.PastValue, layer) &&
			n.Outputs[1] == fmt.Sprintf(g.PresentKey, layer) && n.Outputs[2] == fmt.Sprintf(g.PresentValue, layer) {
			fixed[n.Inputs[3]], fixed[n.Inputs[4]] = true, true
		}
	}
	for layer := range g.Layers {
		for _, template := range []string{g.PastKey, g.PastValue} {
			if name := fmt.Sprintf(template, layer); !fixed[name] || readers[name] != 1 {
				return false
			}
		}
	}
	return true
}

// summed says whether a value is the sum of each row of the mask, less one: what the rows hold, whatever the mask's
// width.
func summed(producer map[string]*onnx.Node, name, mask string) bool {
	reduced := false
	for range 16 { // longer than any exporter's chain
		n := producer[name]
		if n == nil || len(n.Inputs) == 0 {
			break
		}
		switch n.Op {
		case "ReduceSum":
			reduced = true
		case "Cast", "Sub", "Squeeze", "Reshape", "Flatten", "Identity":
		default:
			return false
		}
		name = n.Inputs[0]
	}
	return reduced && name == mask
}

// isLayerName says whether the name of a layer's cache is one. It is given to fmt with the layer: one %d and no other
// verb.
func isLayerName(name string) bool {
	return strings.Count(name, "%") == 1 && strings.Contains(name, "%d")
}

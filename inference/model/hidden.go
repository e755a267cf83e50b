package model

import (
	"fmt"
	"slices"

	"github.com/sluiceml/sluice/inference/model/onnx"
)

// HiddenStates is what a graph knows of tokens before it names the next one: the result of its last norm, which the
// language-model head multiplies.
type HiddenStates struct {
	Name string // of the value: float32 [n, Size], a row for each of the positions that Graph.LogitsIndices names
	Size int
}

// NoHiddenStatesError says why a graph gives no hidden states.
type NoHiddenStatesError struct{ Reason string }

func (e *NoHiddenStatesError) Error() string { return "no hidden states: " + e.Reason }

// HiddenStates finds them in the graph, whose text is m. The error is a *[NoHiddenStatesError].
func (g Graph) HiddenStates(m *onnx.Model) (HiddenStates, error) {
	none := func(format string, args ...any) (HiddenStates, error) {
		return HiddenStates{}, &NoHiddenStatesError{Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case g.Masked != nil:
		return none("the graph is another exporter's and gives logits only; convert the checkpoint with sluice convert")
	case g.Hybrid != nil:
		return none("the form row8 moves scales between the last norm and the head; convert to int8, int4, fp16 or none")
	}
	gain := "" // the norm's weight
	for i := range m.Graph.Nodes {
		n := &m.Graph.Nodes[i]
		if slices.Contains(n.Inputs, g.LogitsIndices) && slices.Contains(n.Inputs, finalNorm) {
			return none("the graph takes the wanted positions behind its last norm; convert the checkpoint again")
		}
		if len(n.Outputs) == 0 || n.Outputs[0] != finalNorm {
			continue
		}
		switch {
		case (n.Op == "SimplifiedLayerNormalization" || n.Op == "LayerNormalization") && len(n.Inputs) > 1:
			gain = n.Inputs[1]
		case (n.Op == "SkipSimplifiedLayerNormalization" || n.Op == "SkipLayerNormalization") && len(n.Inputs) > 2:
			gain = n.Inputs[2]
		}
	}
	at := slices.IndexFunc(m.Graph.Initializers, func(t onnx.Tensor) bool { return t.Name == gain })
	if gain == "" || at < 0 {
		return none("the graph has no norm %q, as those that sluice convert makes have", finalNorm)
	}
	t := &m.Graph.Initializers[at]
	if t.Type != onnx.Float || len(t.Dims) != 1 || t.Dims[0] < 1 || t.Dims[0] > maxSize {
		return none("the weight of %q is not one row of float32", finalNorm)
	}
	return HiddenStates{Name: finalNorm, Size: int(t.Dims[0])}, nil
}

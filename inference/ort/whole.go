package ort

import (
	"fmt"
	"slices"

	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
)

// unfusable says why a graph stays as it is.
type unfusable struct{ reason string }

func (e *unfusable) Error() string { return "the graph cannot be fused: " + e.reason }

// knownWhole refuses a graph of which a [modelonnx.Model] does not hold everything, because it would be lost in writing:
// subgraphs and tensors in attributes, functions of the model's own, values in typed fields. A node of the kernels' own
// domain would name memory of its author's choice.
func knownWhole(m *modelonnx.Model) error {
	for i := range m.Graph.Nodes {
		n := &m.Graph.Nodes[i]
		if len(n.Outputs) == 0 || n.Domain != "" && n.Domain != "com.microsoft" {
			return &unfusable{fmt.Sprintf("node %s is of the domain %q, or has no results", n.Name, n.Domain)}
		}
		for _, a := range n.Attributes {
			switch a.Kind {
			case modelonnx.KindFloat, modelonnx.KindInt, modelonnx.KindString, modelonnx.KindFloats, modelonnx.KindInts, modelonnx.KindStrings:
			default:
				return &unfusable{fmt.Sprintf("attribute %s of node %s is not known", a.Name, n.Name)}
			}
		}
	}
	for _, t := range m.Graph.Initializers {
		if t.External == nil && len(t.Raw) == 0 && !slices.Contains(t.Dims, 0) {
			return &unfusable{"the values of " + t.Name + " are in a typed field"}
		}
	}
	return nil
}

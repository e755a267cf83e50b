package onnx

import (
	"fmt"
	"strings"
)

// Dump writes the graph as text for people and goldens: inputs, initializers, a line a node, outputs. Weights are
// told by type, shape and place, not by value; the raw values of short integer tensors are not shown either.
func (m *Model) Dump() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ir %d, producer %q %q", m.IRVersion, m.ProducerName, m.ProducerVersion)
	for _, o := range m.Opsets {
		fmt.Fprintf(&b, ", opset %q %d", o.Domain, o.Version)
	}
	b.WriteByte('\n')
	for _, p := range m.Metadata {
		fmt.Fprintf(&b, "metadata %s = %s\n", p.Key, p.Value)
	}
	for i := range m.Graph.Inputs {
		fmt.Fprintf(&b, "input  %v\n", &m.Graph.Inputs[i])
	}
	for i := range m.Graph.Initializers {
		fmt.Fprintf(&b, "weight %v\n", &m.Graph.Initializers[i])
	}
	for i := range m.Graph.Nodes {
		fmt.Fprintf(&b, "%v\n", &m.Graph.Nodes[i])
	}
	for i := range m.Graph.Outputs {
		fmt.Fprintf(&b, "output %v\n", &m.Graph.Outputs[i])
	}
	return b.String()
}

// String is the name, the type and the shape.
func (v *Value) String() string {
	if v.AnyShape {
		return fmt.Sprintf("%s %v", v.Name, v.Type)
	}
	dims := make([]string, len(v.Shape))
	for i, d := range v.Shape {
		dims[i] = d.String()
	}
	return fmt.Sprintf("%s %v[%s]", v.Name, v.Type, strings.Join(dims, ","))
}

// String is the name, the type, the shape and where the bytes are.
func (t *Tensor) String() string {
	s := fmt.Sprintf("%s %v%s", t.Name, t.Type, strings.ReplaceAll(fmt.Sprint(t.Dims), " ", ","))
	if t.External == nil {
		return s + " inline"
	}
	return fmt.Sprintf("%s @%d+%d", s, t.External.Offset, t.External.Length)
}

// String is outputs = operator(inputs) attributes.
func (n *Node) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s = %s(%s)", list(n.Outputs), n.Op, list(n.Inputs))
	for _, a := range n.Attributes {
		b.WriteByte(' ')
		b.WriteString(a.String())
	}
	return b.String()
}

// list joins names, with _ for those that are left out.
func list(names []string) string {
	shown := make([]string, len(names))
	for i, name := range names {
		if shown[i] = name; name == "" {
			shown[i] = "_"
		}
	}
	return strings.Join(shown, ", ")
}

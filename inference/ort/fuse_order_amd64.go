package ort

import (
	"fmt"

	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
)

// madeOnce refuses a graph in which a name stands for two values, or is read before there is a value; each input, initializer
// and node has a name for what it gives, since an empty one among a node's inputs is one that is left out. ONNX forbids the rest,
// and ONNX Runtime checks it, but never sees the nodes that are fused. These are known by the names of their results: sizes would
// be those of one value, and rows those of another.
func madeOnce(g *modelonnx.Graph) error {
	made := map[string]bool{}
	again := func(name string) error {
		if made[name] {
			return &unfusable{fmt.Sprintf("it has two values %q", name)}
		}
		made[name] = true
		return nil
	}
	var given []string
	for _, v := range g.Inputs {
		given = append(given, v.Name)
	}
	for _, t := range g.Initializers {
		given = append(given, t.Name)
	}
	for _, name := range given {
		if name == "" {
			return &unfusable{"an input or an initializer has no name"}
		}
		if err := again(name); err != nil {
			return err
		}
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		for _, name := range n.Inputs {
			if name != "" && !made[name] {
				return &unfusable{fmt.Sprintf("node %s reads %q, which nothing before it makes", n.Name, name)}
			}
		}
		if n.Outputs[0] == "" {
			return &unfusable{fmt.Sprintf("the first result of node %s has no name", n.Name)} // which the fused nodes go by
		}
		for _, name := range n.Outputs {
			if name == "" {
				continue // it is left out
			}
			if err := again(name); err != nil {
				return err
			}
		}
	}
	return nil
}

package ort

import (
	"strings"

	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
)

// ranks are the numbers of dimensions of a graph's values, of those that are certain: the kernels take [tokens, width],
// where ONNX Runtime's operators take any number of dimensions before the width.
func ranks(g *modelonnx.Graph) map[string]int {
	known := map[string]int{}
	shapes := map[string]int{} // what a Reshape to an initializer gives
	for _, v := range g.Inputs {
		if !v.AnyShape {
			known[v.Name] = len(v.Shape)
		}
	}
	for _, t := range g.Initializers {
		known[t.Name] = len(t.Dims)
		if t.Type == modelonnx.Int64 && t.External == nil {
			shapes[t.Name] = len(t.Raw) / 8
		}
	}
	for i := range g.Nodes { // each after those whose results it reads, or it is not known
		n := &g.Nodes[i]
		of := func(i int) (int, bool) {
			rank, ok := known[input(n, i)]
			return rank, ok
		}
		rank, ok := 0, false
		switch n.Op {
		case "Reshape":
			rank, ok = shapes[input(n, 1)]
		case "Gemm":
			rank, ok = 2, true
		case "Gather", "GatherBlockQuantized":
			data, one := of(0)
			indices, two := of(1)
			rank, ok = data+indices-1, one && two
		case "ReduceMax":
			rank, ok = of(0)
			ok = ok && number(n, "keepdims", 1) == 1
		case "Add", "Sub", "Mul", "Div", "Max":
			a, one := of(0)
			b, two := of(1)
			rank, ok = max(a, b), one && two && len(n.Inputs) == 2 // Max takes any number
		case "MatMulNBits", "SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization", "LayerNormalization",
			"SkipLayerNormalization", "RMSNormalization", "QuickGelu", "Gelu", "FastGelu", "BiasGelu", "Sigmoid", "Tanh",
			"Cast", "Identity", "Concat", "Split", "Abs", "QuantizeLinear", "MatMulIntegerToFloat":
			rank, ok = of(0)
		}
		for j, name := range n.Outputs {
			// What normalization gives beside its results and their sum, nothing here reads.
			if ok && name != "" && (j == 0 || n.Op == "Split" || j == 3 && strings.HasPrefix(n.Op, "Skip")) {
				known[name] = rank
			}
		}
	}
	return known
}

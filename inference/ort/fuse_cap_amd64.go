package ort

import (
	"encoding/binary"
	"math"

	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
)

// cap finds what makes most·tanh(x/most) of a value, for a number most.
func (f *fuser) cap(value string) (int, *modelonnx.Node, float32) {
	_, div := f.only(value, "Div")
	if div == nil || len(div.Attributes) != 0 || len(div.Inputs) != 2 || div.Inputs[0] != value {
		return 0, nil, 0
	}
	most := f.scalar(div.Inputs[1])
	_, tanh := f.only(div.Outputs[0], "Tanh")
	if tanh == nil || !(most > 0) || !reads(tanh, div.Outputs[0]) {
		return 0, nil, 0
	}
	bounded := tanh.Outputs[0]
	i, mul := f.only(bounded, "Mul")
	if mul == nil || len(mul.Inputs) != 2 {
		return 0, nil, 0
	}
	by := mul.Inputs[1]
	if by == bounded {
		by = mul.Inputs[0]
	}
	if f.scalar(by) != most {
		return 0, nil, 0
	}
	return i, mul, most
}

// scalar is a finite number within the graph, without dimensions, 0 if there is none.
func (f *fuser) scalar(name string) float32 {
	t := f.initializers[name]
	if t == nil || t.Type != modelonnx.Float || t.External != nil || len(t.Dims) != 0 || len(t.Raw) != 4 {
		return 0
	}
	v := math.Float32frombits(binary.LittleEndian.Uint32(t.Raw))
	if v-v != 0 {
		return 0
	}
	return v
}

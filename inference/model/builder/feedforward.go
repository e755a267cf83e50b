package builder

import (
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// gated adds a feed-forward layer with a gate: down(act(gate(x)) · up(x)).
func (d *decoder) gated(x string) string {
	s := &d.spec
	prefix := d.prefix + "mlp."
	both, err := d.project(x, projection{
		name: "gate_up_proj", prefix: prefix, weights: []string{"gate_proj", "up_proj"},
		outs: []int{s.IntermediateSize, s.IntermediateSize}, in: s.HiddenSize, bias: s.MLPBias,
	})
	if err != nil {
		d.fail(err)
		return ""
	}
	gate, up := both[0].name, both[len(both)-1].name
	if len(both) == 1 {
		halves := d.nodes(prefix+"halves", "", "Split", []string{gate}, []string{prefix + "gate", prefix + "up"},
			onnx.Int("axis", 1), onnx.Int("num_outputs", 2))
		gate, up = halves[0], halves[1]
	}
	return d.down(prefix, d.node(prefix+"gated", "", "Mul", []string{d.activated(prefix, gate), up}))
}

// ungated adds a feed-forward layer without a gate: down(act(up(x))).
func (d *decoder) ungated(x string) string {
	s := &d.spec
	prefix := d.prefix + "mlp."
	up, err := d.project(x, projection{
		name: "up_proj", prefix: prefix, weights: []string{"up_proj"}, outs: []int{s.IntermediateSize}, in: s.HiddenSize,
		bias: s.MLPBias,
	})
	if err != nil {
		d.fail(err)
		return ""
	}
	return d.down(prefix, d.activated(prefix, up[0].name))
}

// activated adds the activation.
func (d *decoder) activated(prefix, x string) string {
	name := prefix + "act_fn"
	switch d.spec.Activation {
	case model.ActivationGELU:
		return d.node(name, "", "Gelu", []string{x})
	case model.ActivationGELUTanh:
		return d.node(name, "", "Gelu", []string{x}, onnx.Text("approximate", "tanh"))
	default:
		// QuickGelu is x · sigmoid(alpha · x), with an alpha of one SiLU.
		return d.node(name, domainMicrosoft, "QuickGelu", []string{x}, onnx.Real("alpha", 1))
	}
}

// down adds the projection out of the feed-forward layer.
func (d *decoder) down(prefix, x string) string {
	s := &d.spec
	down, err := d.project(x, projection{
		name: "down_proj", prefix: prefix, weights: []string{"down_proj"}, outs: []int{s.HiddenSize}, in: s.IntermediateSize,
		bias: s.MLPBias,
	})
	if err != nil {
		d.fail(err)
		return ""
	}
	return down[0].name
}

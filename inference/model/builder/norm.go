package builder

import (
	"encoding/binary"
	"math"

	"github.com/sluiceml/sluice/inference/model/onnx"
)

// norm adds the norm of the residual stream. The stream's sum, if something of it is still to be added, comes with it.
func (d *decoder) norm(name string) string {
	name = d.prefix + name
	weights := d.normWeights(name, d.spec.HiddenSize)
	if d.branch == "" {
		return d.plainNorm(name, d.residual, weights)
	}
	op := "SkipSimplifiedLayerNormalization"
	if d.layerNorms {
		op = "SkipLayerNormalization"
	}
	inputs := append([]string{d.residual, d.branch}, weights...)
	if d.prefix == "" { // the last one: nothing reads the sum
		return d.node(name, domainMicrosoft, op, inputs, d.epsilon())
	}
	out := d.nodes(name, domainMicrosoft, op, inputs, []string{name, "", "", name + ".sum"}, d.epsilon())
	d.residual, d.branch = out[3], ""
	return out[0]
}

// normOf adds the norm of something else than the residual stream.
func (d *decoder) normOf(name, x string) string {
	name = d.prefix + name
	return d.plainNorm(name, x, d.normWeights(name, d.spec.HiddenSize))
}

// stream is the residual stream itself.
func (d *decoder) stream() string {
	if d.branch != "" {
		d.residual = d.node(d.prefix+"residual."+d.branch, "", "Add", []string{d.residual, d.branch})
		d.branch = ""
	}
	return d.residual
}

// plainNorm adds the norm of x over its last dimension.
func (d *decoder) plainNorm(name, x string, weights []string) string {
	op := "SimplifiedLayerNormalization"
	if d.layerNorms {
		op = "LayerNormalization"
	}
	return d.node(name, "", op, append([]string{x}, weights...), d.epsilon(), onnx.Int("axis", -1), onnx.Int("stash_type", 1))
}

// normWeights adds a norm's weight and, if it has one, its bias.
func (d *decoder) normWeights(name string, length int) []string {
	weight := must(d, func(name string) (string, error) { return d.normWeight(name, length) })(name + ".weight")
	if !d.layerNorms {
		return []string{weight}
	}
	bias := must(d, func(name string) (string, error) { return d.vector(name, length) })(name + ".bias")
	return []string{weight, bias}
}

// normWeight adds a norm's weight, with the model's offset.
func (p *plan) normWeight(name string, length int) (string, error) {
	offset := float32(p.spec.NormOffset)
	if offset == 0 {
		return p.vector(name, length)
	}
	t, err := p.tensor(name, length)
	if err != nil {
		return "", err
	}
	p.rows(tensorPlan{
		name: name, dims: []int{length},
		fill: func(first, rows int, dst []byte) error {
			if err := floatRows(dst, t, first, rows); err != nil {
				return err
			}
			for i := range rows {
				v := math.Float32frombits(binary.LittleEndian.Uint32(dst[4*i:]))
				binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v+offset))
			}
			return nil
		},
	})
	return name, nil
}

func (p *plan) epsilon() onnx.Attribute { return onnx.Real("epsilon", float32(p.spec.NormEpsilon)) }

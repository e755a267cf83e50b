package builder

import (
	"fmt"
	"math"
)

// smoothing moves the spread of activations into the weights, after SmoothQuant (Xiao et al. 2023, arXiv:2211.10438):
// an input that is large in every token would take most of the 8 bits of each token's scale, so it is divided by a
// factor, and the column of the weights that meets it is multiplied by the same. The division costs nothing: it goes
// into what makes the input, a norm's weight or the rows of up_proj.
//
// Factors are rounded to quarter powers of two, so that the last bits of logarithms, in which processors differ, do not
// show in a model's bytes.
type smoothing struct {
	columns map[string][]float32 // by product: what the columns of its weights are multiplied by
	rows    map[string][]float32 // by weight, without ".weight": what its rows, or a norm's values, are divided by
}

// newSmoothing finds the factors of a Llama.
func newSmoothing(c *calibration, layers int) smoothing {
	s := smoothing{columns: map[string][]float32{}, rows: map[string][]float32{}}
	smooth := func(product, maker string) {
		f := factors(c.inputs[product], c.weights[product])
		s.columns[product], s.rows[maker] = f, f
	}
	for i := range layers {
		prefix := fmt.Sprintf("model.layers.%d.", i)
		smooth(prefix+"self_attn.qkv_proj", prefix+"input_layernorm")
		smooth(prefix+"mlp.gate_up_proj", prefix+"post_attention_layernorm")
		smooth(prefix+"mlp.down_proj", prefix+"mlp.up_proj")
	}
	smooth(headName, "model.norm")
	return s
}

// factors are sqrt(input / weight) for the largest magnitudes of each input and the weights that it meets (the paper's
// alpha of one half), relative to their geometric mean.
func factors(inputs, weights []float32) []float32 {
	const least = 1e-5 // an input that no text has shown
	// 2^(n/4).
	quarters := [...]float64{1, 1.189207115002721, math.Sqrt2, 1.681792830507429}
	exponents := make([]float64, len(inputs))
	var mean float64
	for i := range inputs {
		exponents[i] = (math.Log2(float64(max(inputs[i], least))) - math.Log2(float64(max(weights[i], least)))) / 2
		mean += exponents[i] / float64(len(inputs))
	}
	f := make([]float32, len(inputs))
	for i, e := range exponents {
		n := int(math.RoundToEven(4 * min(10, max(-10, e-mean))))
		f[i] = float32(math.Ldexp(quarters[n&3], n>>2))
	}
	return f
}

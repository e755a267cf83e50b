package eval

import (
	"math"
	"slices"
)

// distribution is a model's prediction at one place.
type distribution struct {
	logits []float32
	norm   float64 // the logarithm of the sum of the logits' exponentials
	best   int     // the likeliest token; the first of several
}

// predicted reads logits, which it keeps.
func predicted(logits []float32) distribution {
	most := slices.Max(logits)
	d := distribution{logits: logits, best: slices.Index(logits, most)}
	var sum float64
	for _, v := range logits {
		sum += math.Exp(float64(v) - float64(most))
	}
	d.norm = float64(most) + math.Log(sum)
	return d
}

// log is the natural logarithm of a token's probability.
func (d distribution) log(token uint32) float64 { return float64(d.logits[token]) - d.norm }

// divergence is the Kullback-Leibler divergence of another prediction from this one, in nats.
func (d distribution) divergence(other distribution) float64 {
	var sum float64
	for i, v := range d.logits {
		log := float64(v) - d.norm
		sum += math.Exp(log) * (log - (float64(other.logits[i]) - other.norm))
	}
	return sum
}

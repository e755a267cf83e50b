package model

import (
	"fmt"
	"slices"
)

// Weight is a tensor that a model of some Spec must have.
type Weight struct {
	Name  string
	Shape []int // outermost dimension first
}

// The names of the weights that are in no layer.
const (
	embeddingWeight = "model.embed_tokens.weight"
	positionsWeight = "model.embed_positions.weight"
	finalNorm       = "model.norm"
	headWeight      = "lm_head.weight"
)

// Weights lists the tensors of a model in the order of use: embedding, layers, norm, head. The head is not among them if
// it is tied to the embedding. Biases are there if the Spec says so. An architecture that is not known has none.
func (s Spec) Weights() []Weight {
	a, ok := architectureNamed(s.Architecture)
	if !ok {
		return nil
	}
	w := &layerWeights{hidden: s.HiddenSize, biased: a.biased}
	w.add(embeddingWeight, s.VocabSize, s.HiddenSize)
	if a.learned {
		w.add(positionsWeight, s.ContextLength, s.HiddenSize)
	}
	for layer := range s.Layers {
		w.prefix = fmt.Sprintf("model.layers.%d.", layer)
		a.layer(&s, w)
	}
	w.prefix = ""
	w.norm(finalNorm)
	if !s.TiedEmbeddings {
		w.add(headWeight, s.VocabSize, s.HiddenSize)
	}
	return w.all
}

// layerWeights collects weights, whose names begin with a prefix.
type layerWeights struct {
	prefix string
	hidden int
	biased bool
	all    []Weight
}

func (w *layerWeights) add(name string, shape ...int) {
	w.all = append(w.all, Weight{Name: w.prefix + name, Shape: shape})
}

// linear adds a projection.
func (w *layerWeights) linear(name string, out, in int, bias bool) {
	w.add(name+".weight", out, in)
	if bias {
		w.add(name+".bias", out)
	}
}

// norm adds a norm of hidden states.
func (w *layerWeights) norm(name string) {
	w.add(name+".weight", w.hidden)
	if w.biased {
		w.add(name+".bias", w.hidden)
	}
}

// attention adds the four projections of attention.
func (w *layerWeights) attention(s *Spec, bias, outBias bool) {
	query, key := s.Heads*s.HeadSize, s.KVHeads*s.HeadSize
	w.linear("self_attn.q_proj", query, s.HiddenSize, bias)
	w.linear("self_attn.k_proj", key, s.HiddenSize, bias)
	w.linear("self_attn.v_proj", key, s.HiddenSize, bias)
	w.linear("self_attn.o_proj", s.HiddenSize, query, outBias)
}

// headNorms adds norms of queries and keys of the widths given.
func (w *layerWeights) headNorms(query, key int) {
	w.add("self_attn.q_norm.weight", query)
	w.add("self_attn.k_norm.weight", key)
}

// gated adds a feed-forward layer with a gate.
func (w *layerWeights) gated(s *Spec) {
	w.linear("mlp.gate_proj", s.IntermediateSize, s.HiddenSize, s.MLPBias)
	w.linear("mlp.up_proj", s.IntermediateSize, s.HiddenSize, s.MLPBias)
	w.linear("mlp.down_proj", s.HiddenSize, s.IntermediateSize, s.MLPBias)
}

// plain adds a feed-forward layer without a gate.
func (w *layerWeights) plain(s *Spec, bias bool) {
	w.linear("mlp.up_proj", s.IntermediateSize, s.HiddenSize, bias)
	w.linear("mlp.down_proj", s.HiddenSize, s.IntermediateSize, bias)
}

// checkShape says that a tensor has not the shape that the model needs.
func checkShape(path, name string, got, want []int) error {
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s: the tensor %q has the shape %v, want %v", path, name, got, want)
	}
	return nil
}

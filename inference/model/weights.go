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

// Weights lists the tensors of a Llama model in the order of use: embedding, layers, norm, head. The head is not
// among them if it is tied to the embedding. Biases are there if the Spec says so.
func (s Spec) Weights() []Weight {
	all := []Weight{{"model.embed_tokens.weight", []int{s.VocabSize, s.HiddenSize}}}
	for layer := range s.Layers {
		all = append(all, s.layerWeights(layer)...)
	}
	all = append(all, Weight{"model.norm.weight", []int{s.HiddenSize}})
	if !s.TiedEmbeddings {
		all = append(all, Weight{"lm_head.weight", []int{s.VocabSize, s.HiddenSize}})
	}
	return all
}

// layerWeights lists the tensors of one layer.
func (s Spec) layerWeights(layer int) []Weight {
	var (
		all    []Weight
		prefix = fmt.Sprintf("model.layers.%d.", layer)
		query  = s.Heads * s.HeadSize
		key    = s.KVHeads * s.HeadSize
	)
	linear := func(name string, out, in int, bias bool) {
		all = append(all, Weight{prefix + name + ".weight", []int{out, in}})
		if bias {
			all = append(all, Weight{prefix + name + ".bias", []int{out}})
		}
	}
	norm := func(name string) { all = append(all, Weight{prefix + name + ".weight", []int{s.HiddenSize}}) }

	norm("input_layernorm")
	linear("self_attn.q_proj", query, s.HiddenSize, s.AttentionBias)
	linear("self_attn.k_proj", key, s.HiddenSize, s.AttentionBias)
	linear("self_attn.v_proj", key, s.HiddenSize, s.AttentionBias)
	linear("self_attn.o_proj", s.HiddenSize, query, s.AttentionBias)
	norm("post_attention_layernorm")
	linear("mlp.gate_proj", s.IntermediateSize, s.HiddenSize, s.MLPBias)
	linear("mlp.up_proj", s.IntermediateSize, s.HiddenSize, s.MLPBias)
	linear("mlp.down_proj", s.HiddenSize, s.IntermediateSize, s.MLPBias)
	return all
}

// checkShape says that a tensor has not the shape that the model needs.
func checkShape(path, name string, got, want []int) error {
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s: the tensor %q has the shape %v, want %v", path, name, got, want)
	}
	return nil
}

package model

import (
	"slices"
	"strings"
)

// architecture says how the checkpoints of one kind of model are read. Each has a file of its own, and one in package
// builder, which knows how its layers are put together.
type architecture struct {
	name      string // Spec.Architecture, and GGUF's general.architecture
	class     string // transformers', in config.json's architectures
	modelType string // config.json's model_type; "" is name
	onlyHF    bool   // GGUF has another name for it

	defaults Spec // what config.json leaves out
	fourfold bool // the feed-forward layer is four times as wide as the hidden states if config.json does not say
	learned  bool // positions are learned vectors, added to the embeddings
	biased   bool // norms are LayerNorms, which have biases
	partial  bool // a part of each head may be turned

	// config and gguf read what only this architecture has into a Spec that has everything else. nil: nothing.
	config func(c *hfConfig, r *fields, s *Spec)
	gguf   func(m *metadata, s *Spec)

	// layer lists the weights of a layer.
	layer func(s *Spec, w *layerWeights)
	// stored says where in safetensors a weight lies; nil: under its own name. Files may leave prefix out.
	stored func(s *Spec, name string) place
	prefix string
	// parts are the names of a layer's parts in a GGUF that are not Llama's.
	parts map[string]string
	// ggufStored changes where in a GGUF a weight lies. nil: it doesn't.
	ggufStored func(s *Spec, name string, p place) place
}

// allArchitectures has every architecture that can be read.
func allArchitectures() []architecture {
	return []architecture{
		llama(), mistral(), qwen2(), qwen3(), smollm3(), gemma2(), gemma3(), phi3(), olmo2(), gpt2(), gptneox(),
	}
}

// architectureBy finds the architecture that match picks.
func architectureBy(match func(a *architecture) bool) (architecture, bool) {
	all := allArchitectures()
	i := slices.IndexFunc(all, func(a architecture) bool { return match(&a) })
	if i < 0 {
		return architecture{}, false
	}
	return all[i], true
}

// architectureNamed finds the architecture of a Spec.
func architectureNamed(name string) (architecture, bool) {
	return architectureBy(func(a *architecture) bool { return a.name == name })
}

// architectureNames lists the names for an error.
func architectureNames() string {
	var names []string
	for _, a := range allArchitectures() {
		names = append(names, `"`+a.name+`"`)
	}
	return strings.Join(names, ", ")
}

// architectureClasses lists transformers' classes for an error.
func architectureClasses() string {
	var names []string
	for _, a := range allArchitectures() {
		names = append(names, `"`+a.class+`"`)
	}
	return strings.Join(names, ", ")
}

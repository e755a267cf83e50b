package model

// Source is an opened checkpoint: a GGUF file or a folder of safetensors. Its tensors carry the names of Hugging
// Face's Llama layout ("model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", …, "lm_head.weight")
// and its row order, whatever the file calls them: a GGUF's permuted query and key rows are put back.
//
// It is safe for concurrent use until Close.
type Source interface {
	// Spec describes the model.
	Spec() Spec
	// Tensor finds a weight by its name.
	Tensor(name string) (Tensor, bool)
	// Close unmaps the files; tensors must not be used after it.
	Close() error
}

// Tensor is a stored weight.
type Tensor struct {
	Name  string
	Shape []int // row-major, outermost first: a projection is [out, in]
	Type  Type  // how Data is laid out
	Data  []byte
}

// Spec describes a decoder-only transformer, enough to build its graph.
type Spec struct {
	Architecture     string // "llama"
	VocabSize        int
	HiddenSize       int
	IntermediateSize int // width of the feed-forward layer
	Layers           int
	Heads            int
	KVHeads          int
	HeadSize         int
	ContextLength    int
	RopeTheta        float64
	RopeScaling      *RopeScaling // nil: none
	NormEpsilon      float64
	TiedEmbeddings   bool
	AttentionBias    bool
	MLPBias          bool
}

// RopeScaling stretches the rotary embedding to a longer context, as the config.json of Llama 3.1 and later says.
type RopeScaling struct {
	Kind                          string // "linear" or "llama3"
	Factor                        float64
	LowFreqFactor, HighFreqFactor float64 // llama3
	OriginalContextLength         int     // llama3
}

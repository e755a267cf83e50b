package model

// Source is an opened checkpoint: a GGUF file or a folder of safetensors. Its tensors carry one set of names, whatever
// the file calls them: those of Hugging Face's Llama ("model.embed_tokens.weight",
// "model.layers.0.self_attn.q_proj.weight", …, "lm_head.weight"), and for what a Llama has not the names that most models
// use. [Spec.Weights] lists them. They have Hugging Face's order of rows, [out, in], too: weights that are stored on top
// of each other, transposed, or with the rows of a GGUF's permuted queries and keys are put back.
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
	Architecture     string // "llama", "gemma3", …; how its layers are put together
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

	Activation string // of the feed-forward layer: ActivationSiLU, …

	RotaryDim      int     // how many of a head's values are turned by the position; 0: all
	LocalRopeTheta float64 // RopeTheta, without scaling, of the layers that have the window; 0: they are as the others
	NoPositions    []bool  // by layer: queries and keys are not turned at all; nil: they are, in every layer

	Window  int    // a token sees so many positions, its own included; 0: all
	Sliding []bool // by layer: whether it has the window; nil: every layer has

	AttentionScale   float64 // what scores are multiplied by; 0: 1/√HeadSize
	AttentionSoftcap float64 // c: scores become c·tanh(score/c); 0: they don't
	LogitSoftcap     float64 // the same of logits
	EmbeddingScale   float64 // what embeddings are multiplied by; 0: 1
	NormOffset       float64 // what is added to the stored weights of RMS norms

	ParallelResidual bool // attention and feed-forward layer read the same residual stream
}

// LayerWindow is the window of a layer; 0: it sees all positions.
func (s *Spec) LayerWindow(layer int) int {
	if s.Sliding != nil && !s.Sliding[layer] {
		return 0
	}
	return s.Window
}

// Turned reports whether a layer turns queries and keys by their positions.
func (s *Spec) Turned(layer int) bool {
	return s.NoPositions == nil || !s.NoPositions[layer]
}

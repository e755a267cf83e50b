package builder

import (
	"slices"

	"github.com/sluiceml/sluice/inference/model/onnx"
)

const (
	embeddingName = "model.embed_tokens"
	headName      = "lm_head"
)

// embed adds the lookup of the tokens' embeddings: [tokens, hidden].
func (p *plan) embed(tokens string) (string, error) {
	s := &p.spec
	weight, err := p.tensor(embeddingName+".weight", s.VocabSize, s.HiddenSize)
	if err != nil {
		return "", err
	}
	stored, bits := p.part(weight, true)
	w := product{name: embeddingName, in: s.HiddenSize, out: s.VocabSize, bits: bits, parts: []part{stored}}
	if bits == 0 {
		p.store(&w)
		return p.node(embeddingName, "", "Gather", []string{w.name + ".weight", tokens}), nil
	}
	table := w.name + ".weight"
	if s.TiedEmbeddings {
		// The head's MatMulNBits takes [vocabulary, blocks, 32] of what the lookup takes as [vocabulary, hidden]: the
		// same bytes under a second name.
		p.store(&w)
		table = p.alias(w.name+".table", table, s.VocabSize, s.HiddenSize)
	} else {
		p.storeBlocks(&w, s.VocabSize, s.HiddenSize)
	}
	return p.node(embeddingName, domainMicrosoft, "GatherBlockQuantized", []string{table, tokens, w.name + ".scales"},
		onnx.Int("bits", bits), onnx.Int("block_size", blockLength), onnx.Int("gather_axis", 0),
		onnx.Int("quantize_axis", 1)), nil
}

// head adds the product of the hidden states with the vocabulary. FormRow8 stores a table of its own for it, which a tied
// embedding's lookup could not read.
func (p *plan) head(hidden string) error {
	s := &p.spec
	if s.TiedEmbeddings && p.form != FormRow8 {
		w := product{name: embeddingName, result: p.names.Logits, in: s.HiddenSize, out: s.VocabSize, bits: 8}
		if p.form == FormNone {
			w.bits = 0
		}
		p.multiply(hidden, &w, "")
		return nil
	}
	_, err := p.project(hidden, projection{
		name: headName, result: p.names.Logits, weights: []string{p.headWeight()}, outs: []int{s.VocabSize}, in: s.HiddenSize,
	})
	return err
}

// headWeight is the name of the head's weight, without ".weight".
func (p *plan) headWeight() string {
	if p.spec.TiedEmbeddings {
		return embeddingName
	}
	return headName
}

// alias names the bytes of a tensor in the data file once more, with other dimensions, and returns the name.
func (p *plan) alias(name, of string, dims ...int) string {
	i := slices.IndexFunc(p.graph.Initializers, func(t onnx.Tensor) bool { return t.Name == of })
	t := p.graph.Initializers[i]
	t.Name, t.Dims = name, int64s(dims)
	p.graph.Initializers = append(p.graph.Initializers, t)
	return name
}

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
	stored, bits := p.part(weight, p.form, true)
	w := product{
		name: embeddingName, in: s.HiddenSize, out: s.VocabSize, bits: bits, block: blockLength, parts: []part{stored},
	}
	switch bits {
	case 0:
		p.store(&w)
		return p.node(embeddingName, "", "Gather", []string{w.name + ".weight", tokens}), nil
	case 16:
		p.store(&w)
		rows := p.node(w.name+".rows", "", "Gather", []string{w.name + ".weight", tokens})
		return p.node(embeddingName, "", "Cast", []string{rows}, onnx.Int("to", int(onnx.Float))), nil
	}
	table := w.name + ".weight"
	if p.sharesHead() {
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

// sharesHead says whether the head multiplies with the bytes that the embedding looks up.
func (p *plan) sharesHead() bool {
	table, head := p.form, p.formOf(headName)
	if table != FormNone && table != FormFP16 {
		table = FormInt8
	}
	if head == FormAuto {
		head = FormInt8
	}
	_, asked := p.parts[PartHead]
	// The table has blocks of 32; a head that nobody asked to be otherwise has them too.
	return p.spec.TiedEmbeddings && head == table && (p.blockOf(table) == blockLength || !asked)
}

// head adds the product of the hidden states with the vocabulary. A head of another form than the embedding's has a table
// of its own, which a tied embedding's lookup could not read.
func (p *plan) head(hidden string) error {
	s := &p.spec
	if p.sharesHead() {
		w := product{
			name: embeddingName, result: p.headResult(), in: s.HiddenSize, out: s.VocabSize, bits: 8, block: blockLength,
		}
		if p.form == FormNone {
			w.bits = 0
		}
		if p.form == FormFP16 {
			w.bits = 16
		}
		p.multiply(hidden, &w, "")
		return nil
	}
	_, err := p.project(hidden, projection{
		name: headName, result: p.headResult(), weights: []string{p.headWeight()}, outs: []int{s.VocabSize}, in: s.HiddenSize,
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

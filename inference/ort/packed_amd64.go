package ort

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/sluiceml/sluice/inference/model"
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/ort/kernels"
)

// packed is a fused graph and the matrices of its products, for all sessions of a model.
type packed struct {
	fusedGraph
	matrices  []*kernels.Matrix
	memory    *region // of the matrices
	addresses []int64
	layers    []kernels.Layer  // whose tables lie in the mapped file
	program   *kernels.Program // nil: the graph runs node by node
	maxIn     int
}

// pack fuses a graph and packs the weights of its products, which lie in data. nil: the processor or the graph is not
// of the kind for it.
func pack(m *modelonnx.Model, about model.Graph, data []byte) (_ *packed, err error) {
	if !kernels.Supported() || about.HeadSize%kernels.HeadUnit != 0 || about.HeadSize > kernels.MaxHeadSize {
		return nil, nil //nolint:nilnil // no kernels are no error
	}
	fused, err := fuse(m, about)
	if err != nil {
		if _, ok := errors.AsType[*unfusable](err); ok {
			return nil, nil //nolint:nilnil // neither is another graph
		}
		return nil, err
	}
	p := &packed{fusedGraph: *fused}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	at := map[string][]byte{}
	for _, t := range m.Graph.Initializers {
		if x := t.External; x != nil && x.Location == about.Data && inside(t, len(data)) {
			at[t.Name] = data[x.Offset:][:x.Length]
		}
	}
	for _, a := range p.fusedGraph.layers {
		if a.queryNorm != "" && (at[a.queryNorm] == nil || at[a.keyNorm] == nil) {
			return nil, nil //nolint:nilnil // its norms' weights lie elsewhere
		}
		p.layers = append(p.layers, kernels.Layer{
			Cosines: castSlice[float32](at[a.cosines]), Sines: castSlice[float32](at[a.sines]), Pairs: a.pairs,
			Scale: a.scale, Cap: a.softcap, Window: max(a.window, 0),
			QueryNorm: castSlice[float32](at[a.queryNorm]), KeyNorm: castSlice[float32](at[a.keyNorm]), NormEpsilon: a.epsilon, NormWhole: a.whole,
		})
	}
	weights, size := make([]kernels.Weights, len(p.products)), 0
	for i, f := range p.products {
		for _, name := range []string{f.codes, f.scales, f.offsets, f.biases} {
			if name != "" && at[name] == nil {
				return nil, nil //nolint:nilnil // its weights lie elsewhere
			}
		}
		weights[i] = kernels.Weights{
			Out: f.out, In: f.in, Bits: f.bits, Block: f.block, ByOutput: f.byOutput, Gate: f.gate, Codes: at[f.codes],
			Scales: castSlice[float32](at[f.scales]), Offsets: castSlice[float32](at[f.offsets]), Bias: castSlice[float32](at[f.biases]), Cap: f.cap,
			Head: f.node.Outputs[0] == about.Logits,
		}
		size += pages(weights[i].MaxBytes())
		p.maxIn = max(p.maxIn, f.in)
	}
	if p.decoder != nil && !p.decoder.lies(at) {
		p.decoder = nil // some norm's weight lies elsewhere: the graph runs node by node
	}
	// One mapping of huge pages: a step reads all of it, and on pages of 4 KB a third of its time is the search for them.
	if p.memory, err = reserveDense(size); err != nil {
		return nil, err
	}
	for i, w := range weights {
		matrix, err := kernels.Pack(w, p.memory.bytes[p.memory.used:])
		if err != nil {
			return nil, fmt.Errorf("packing the weights of %s: %w", p.products[i].node.Name, err)
		}
		p.memory.used += pages(matrix.Bytes())
		p.matrices, p.addresses = append(p.matrices, matrix), append(p.addresses, matrix.Address())
	}
	if p.decoder != nil {
		if p.program, err = p.decoder.program(p.matrices, at); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// fits says whether the tables of angles are long enough for a session's slots, and the slots short enough for the kernels.
func (p *packed) fits(c Config) bool {
	const most = kernels.MaxSide / 2 // a step has as many tokens, and a few more
	return p != nil && c.MaxLength <= most && !slices.ContainsFunc(p.layers, func(l kernels.Layer) bool { return min(len(l.Cosines), len(l.Sines)) < c.MaxLength*l.Pairs })
}

// close frees the matrices.
func (p *packed) close() error {
	if p == nil {
		return nil
	}
	if p.program != nil {
		p.program.Close()
	}
	for _, m := range p.matrices {
		m.Close()
	}
	p.matrices, p.program = nil, nil
	if p.memory == nil {
		return nil
	}
	memory := p.memory
	p.memory = nil
	return memory.free()
}

// castSlice is bytes as values, nil if there are none.
func castSlice[T float32 | int64](bytes []byte) []T {
	if len(bytes) == 0 {
		return nil
	}
	var zero T
	//nolint:gosec // initializers are aligned: see inside
	return unsafe.Slice((*T)(unsafe.Pointer(&bytes[0])), len(bytes)/int(unsafe.Sizeof(zero)))
}

// programAddress is what the graph calls the program by.
func (p *packed) programAddress() int64 {
	if p.program == nil {
		return 0
	}
	return p.program.Address()
}

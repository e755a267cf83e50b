package ort

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sluiceml/sluice/inference/model"
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
)

// hidden is what a session's graph has beyond that of the folder, so that it gives hidden states: they are an output, and
// the head works on some of their rows only, the first ones of those that the index of logits names. So a pass gives
// hidden states of any tokens beside logits of others, and no logits are computed that nobody wants. Where an output is not
// bound it is not computed apart: the norm runs anyway.
//
// It is made of the graph when that is loaded. The folder has the same bytes with it and without it, and those that were
// converted before there was such a thing have it too.
type hidden struct {
	states string // the output: float32 [n, size], by the index of logits
	size   int
	rows   string // the input: int64 [m], the rows of states that logits are wanted of
}

// headRows is the name of the input, and of what it takes.
const headRows = "sluice.head_rows"

// withHidden puts hidden states into a copy of a graph. The error is a *[model.NoHiddenStatesError].
func withHidden(m *modelonnx.Model, about model.Graph) (*modelonnx.Model, *hidden, error) {
	states, err := about.HiddenStates(m)
	if err != nil {
		return nil, nil, err
	}
	if err := knownWhole(m); err != nil {
		return nil, nil, &model.NoHiddenStatesError{Reason: err.Error()}
	}
	h := &hidden{states: states.Name, size: states.Size, rows: headRows}
	if takenName(m, headRows) {
		return nil, nil, &model.NoHiddenStatesError{Reason: "the graph has a value " + headRows + " of its own"}
	}
	with := *m
	g := &with.Graph
	g.Inputs = append(slices.Clip(g.Inputs), modelonnx.Value{
		Name: h.rows, Type: modelonnx.Int64, Shape: []modelonnx.Dim{modelonnx.Named("head_rows")},
	})
	g.Outputs = append(slices.Clip(g.Outputs), modelonnx.Value{
		Name: h.states, Type: modelonnx.Float, Shape: []modelonnx.Dim{modelonnx.Named("wanted"), modelonnx.Fixed(h.size)},
	})
	const taken = headRows + ".states"
	nodes := make([]modelonnx.Node, 0, len(g.Nodes)+1)
	for _, n := range g.Nodes {
		if slices.Contains(n.Inputs, h.states) {
			n.Inputs = slices.Clone(n.Inputs)
			for i, name := range n.Inputs {
				if name == h.states {
					n.Inputs[i] = taken
				}
			}
		}
		nodes = append(nodes, n)
		if slices.Contains(n.Outputs, h.states) {
			nodes = append(nodes, modelonnx.Node{
				Name: taken, Op: "Gather", Inputs: []string{h.states, h.rows}, Outputs: []string{taken},
				Attributes: []modelonnx.Attribute{modelonnx.Int("axis", 0)},
			})
		}
	}
	g.Nodes = nodes
	return &with, h, nil
}

// takenName says whether a graph has a value of a name, or of one that begins with it and a dot.
func takenName(m *modelonnx.Model, name string) bool {
	is := func(s string) bool { return s == name || strings.HasPrefix(s, name+".") }
	return slices.ContainsFunc(m.Graph.Inputs, func(v modelonnx.Value) bool { return is(v.Name) }) ||
		slices.ContainsFunc(m.Graph.Initializers, func(t modelonnx.Tensor) bool { return is(t.Name) }) ||
		slices.ContainsFunc(m.Graph.Nodes, func(n modelonnx.Node) bool { return slices.ContainsFunc(n.Outputs, is) })
}

// NoHiddenStates says why the session gives no hidden states; nil if it does.
func (s *Session) NoHiddenStates() error { return s.noHidden }

// openAlone makes a session of a graph of Sluice's own that has its weights to itself, with hidden states where the graph has
// them: of a copy in memory, whose weights lie in the folder.
func (s *Session) openAlone(options *onnx.SessionOptions) (*onnx.DynamicAdvancedSession, error) {
	c := s.config
	byPath := func() (*onnx.DynamicAdvancedSession, error) {
		return onnx.NewDynamicAdvancedSession(c.Model, s.names.inputs, s.names.outputs, options)
	}
	if c.Device.Provider != CPU {
		s.noHidden = &model.NoHiddenStatesError{Reason: "the device is not the CPU"}
		return byPath()
	}
	if c.Graph.Masked != nil || c.Graph.Hybrid != nil { // nothing in the file would change it
		_, s.noHidden = c.Graph.HiddenStates(&modelonnx.Model{})
		return byPath()
	}
	raw, err := os.ReadFile(c.Model)
	if err != nil {
		return nil, err
	}
	m, err := modelonnx.Unmarshal(raw)
	if err != nil { // what is wrong with a model, ONNX Runtime says best
		s.noHidden = &model.NoHiddenStatesError{Reason: err.Error()}
		return byPath()
	}
	with, h, err := withHidden(m, c.Graph)
	if err != nil {
		s.noHidden = err
		return byPath()
	}
	api, err := loadedAPI(s.environment.library)
	if err != nil {
		return nil, err
	}
	env, err := api.newEnv()
	if err != nil {
		return nil, err
	}
	defer api.releaseEnv(env) // the environment itself lives as long as the binding's
	if err := beside(options, c.Model); err != nil {
		return nil, err
	}
	s.setHidden(h)
	return api.newSessionOf(env, with.Marshal(), options)
}

// setHidden notes that the session's graph gives hidden states.
func (s *Session) setHidden(h *hidden) {
	s.hidden = h
	s.names.inputs, s.names.outputs = append(s.names.inputs, h.rows), append(s.names.outputs, h.states)
}

// beside says where the weights of a graph in memory lie: where the model's file is.
func beside(options *onnx.SessionOptions, path string) error {
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	return options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", dir)
}

// stateBuffer is the memory of a session's hidden states: as many rows as a pass can want of them, and tensors over the
// first of them.
type stateBuffer struct {
	region  *region
	values  []float32
	size    int          // of a row
	rows    []int64      // 0, 1, 2, …: the rows that the head takes are the first ones
	indices []onnx.Value // over rows, by their number; made when first needed
	states  []onnx.Value // over values, by the number of rows; made when first needed
	chunks  [][]float32  // memory of Logits.Hidden
}

// newStateBuffer reserves a buffer for so many states and head rows.
func newStateBuffer(h *hidden, states, heads int) (*stateBuffer, error) {
	size, ok := product(states, h.size, 4)
	if !ok {
		return nil, fmt.Errorf("%d rows of %d values do not fit into memory", states, h.size)
	}
	r, err := reserve(size + 8*heads + 2*pages(1))
	if err != nil {
		return nil, err
	}
	b := &stateBuffer{
		region: r, values: carve[float32](r, states*h.size), size: h.size, rows: carve[int64](r, heads),
		indices: make([]onnx.Value, heads+1), states: make([]onnx.Value, states+1),
	}
	for i := range b.rows {
		b.rows[i] = int64(i)
	}
	return b, nil
}

// index is the tensor of the first rows.
func (b *stateBuffer) index(owner *tensors, rows int) (_ onnx.Value, err error) {
	if b.indices[rows] == nil {
		b.indices[rows], err = newTensor(owner, b.rows, int64(rows))
	}
	return b.indices[rows], err
}

// output is the tensor that a pass writes so many states to.
func (b *stateBuffer) output(owner *tensors, states int) (_ onnx.Value, err error) {
	if b.states[states] == nil {
		b.states[states], err = newTensor(owner, b.values, int64(states), int64(b.size))
	}
	return b.states[states], err
}

// one is Logits.Hidden of a step with one chunk.
func (b *stateBuffer) one(states []float32) [][]float32 {
	b.chunks = append(b.chunks[:0], states)
	return b.chunks
}

// of are the states of n tokens, from a row on.
func (b *stateBuffer) of(row, n int) []float32 {
	return b.values[row*b.size : (row+n)*b.size : (row+n)*b.size]
}

// free gives the memory back, to which no tensor may point any more.
func (b *stateBuffer) free() error {
	if b == nil {
		return nil
	}
	return b.region.free()
}

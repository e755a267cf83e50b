package ort

import (
	"errors"
	"fmt"
	"unsafe"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sluiceml/sluice/inference/ort/kernels"
	"github.com/sluiceml/sluice/inference/runner"
)

// native runs a model by the operators of package kernels: a step is a list of tokens of any sequences, whose places the
// operators read from the state.
type native struct {
	session *Session
	packed  *packed
	state   *kernels.State
	api     capi
	domain  unsafe.Pointer // of the operators

	slots  *cache[uint16]
	region *region
	ids    []int64
	index  []int64
	logits []float32
	rows   [][]float32 // what logits is made of
	chunks [][]float32 // memory of Logits.Chunks

	idTensors []onnx.Value // [1, T], of a hybrid graph [T], by T; made when first needed
	indices   []onnx.Value // of what is wanted, by its number; made when first needed
	wanted    []onnx.Value // logits, by their number; made when first needed
	lane      *lane
	states    *nativeStates // nil: the graph gives no hidden states
}

// newNative makes what runs a session's steps.
func newNative(s *Session, p *packed) (*native, error) {
	c, g := s.config, s.config.Graph
	threads := c.Device.Threads
	if threads == 0 {
		threads = PhysicalCores()
	}
	n := &native{session: s, packed: p}
	var err error
	n.state, err = kernels.NewState(kernels.StateConfig{
		Layers: p.layers, Heads: p.heads, KVHeads: g.KVHeads, HeadSize: g.HeadSize, MaxLength: n.slotLength(),
		MaxTokens: n.maxTokens(), MaxIn: p.maxIn, Threads: threads, Program: p.program, Variant: c.variant,
	})
	return n, err
}

// slotLength is the number of positions that a slot has room for.
func (n *native) slotLength() int {
	return wholeGroups(n.session.config.MaxLength)
}

// maxTokens is the most tokens of a step.
func (n *native) maxTokens() int {
	c := n.session.config
	return c.Slots + runner.MaxDrafts + c.MaxChunk
}

// names are the inputs and outputs of the fused graph.
func (n *native) names() *names {
	g := n.session.config.Graph
	of := &names{inputs: []string{g.InputIDs, g.LogitsIndices}, outputs: []string{outLogits: g.Logits}}
	if h := n.session.hidden; h != nil {
		of.inputs, of.outputs = append(of.inputs, h.rows), append(of.outputs, h.states)
	}
	return of
}

// The places of the inputs.
const (
	nativeIDs = iota
	nativeIndex
	nativeRows // where the graph gives hidden states
)

// open makes ONNX Runtime's session.
func (p *packed) open(s *Session, w *Weights, options *onnx.SessionOptions) (executor, *onnx.DynamicAdvancedSession, error) {
	n, err := newNative(s, p)
	if err != nil {
		return nil, nil, err
	}
	n.api = w.api
	var status unsafe.Pointer
	status, n.domain = kernels.Register(w.api.table, pointerIn(options, "o"))
	if err := w.api.failure(status); err != nil {
		return n, nil, fmt.Errorf("registering operators: %w", err)
	}
	session, err := w.openGraph(options, p.bytes(p.addresses, p.programAddress(), n.state.Address()))
	return n, session, err
}

// reserve takes address space for the session's steps.
func (n *native) reserve() (err error) {
	c := n.session.config
	if n.slots, err = newCache[uint16](c.Slots, n.slotLength(), c.Graph); err != nil {
		return err
	}
	for layer := range c.Graph.Layers {
		n.state.SetLayer(layer, n.slots.buffers[2*layer], n.slots.buffers[2*layer+1])
	}
	tokens, rows := n.maxTokens(), c.Slots+runner.MaxDrafts+runner.MaxRows
	indices := rows
	if n.session.hidden != nil {
		indices += c.MaxChunk
	}
	size, ok := product(rows, c.Graph.VocabSize, 4)
	if !ok {
		return fmt.Errorf("%d rows of %d logits do not fit into memory", rows, c.Graph.VocabSize)
	}
	if n.region, err = reserve(size + 8*(tokens+indices) + 3*pages(1)); err != nil {
		return err
	}
	n.ids, n.index = carve[int64](n.region, tokens), carve[int64](n.region, indices)
	n.logits = carve[float32](n.region, rows*c.Graph.VocabSize)
	n.rows = make([][]float32, rows)
	for i := range n.rows {
		n.rows[i] = n.logits[i*c.Graph.VocabSize : (i+1)*c.Graph.VocabSize : (i+1)*c.Graph.VocabSize]
	}
	n.idTensors, n.indices, n.wanted = make([]onnx.Value, tokens+1), make([]onnx.Value, indices+1), make([]onnx.Value, rows+1)
	if err := n.make(1, 0, 0); err != nil {
		return err
	}
	if h := n.session.hidden; h != nil {
		if n.states, err = newNativeStates(h, indices, rows); err != nil {
			return err
		}
	}
	if n.lane, err = n.newLane(); err != nil {
		return err
	}
	n.session.prefixes, err = reserveHalves(&c, n.slots)
	return err
}

// newLane binds tensors that each pass replaces.
func (n *native) newLane() (*lane, error) {
	inputs, outputs := []onnx.Value{n.idTensors[1], n.indices[0]}, []onnx.Value{n.wanted[0]}
	if n.states != nil {
		rows, err := n.states.index(&n.session.tensors, 0)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, rows)
	}
	return newLane(n.session.session, n.names(), true, inputs, outputs)
}

// make makes the tensors for a number of tokens, of those of which something is wanted, and of wanted logits.
func (n *native) make(tokens, indices, wanted int) error {
	owner := &n.session.tensors
	var errs [3]error
	if n.idTensors[tokens] == nil {
		shape := []int64{1, int64(tokens)}
		if n.session.config.Graph.Hybrid != nil {
			shape = shape[1:]
		}
		n.idTensors[tokens], errs[0] = newTensor(owner, n.ids, shape...)
	}
	if n.indices[indices] == nil {
		n.indices[indices], errs[1] = newTensor(owner, n.index, int64(indices))
	}
	if n.wanted[wanted] == nil {
		n.wanted[wanted], errs[2] = newTensor(owner, n.logits, int64(wanted), int64(n.session.config.Graph.VocabSize))
	}
	return errors.Join(errs[:]...)
}

// step runs decode rows, with what is guessed to follow them, and chunks together.
func (n *native) step(step runner.Step) (logits runner.Logits, err error) {
	tokens, wanted := 0, len(step.Decode)
	n.state.Reset()
	for i, row := range step.Decode {
		n.state.AddRun(row.Slot, row.Past, 1+len(row.Draft))
		n.index[i] = int64(tokens)
		n.state.Want(i, row.Greedy)
		n.ids[tokens] = int64(row.Token)
		tokens++
		for _, id := range row.Draft {
			n.index[wanted] = int64(tokens)
			n.state.Want(wanted, row.Greedy)
			n.ids[tokens] = int64(id)
			tokens, wanted = tokens+1, wanted+1
		}
	}
	drafted := wanted
	n.chunks = n.chunks[:0]
	for _, c := range step.Chunks {
		n.state.AddRun(c.Slot, c.Past, len(c.Tokens))
		first, last := wanted, len(c.Tokens)-1
		for i, id := range c.Tokens {
			n.ids[tokens] = int64(id)
			if c.Rows || c.Logits && i == last {
				n.index[wanted] = int64(tokens)
				n.state.Want(wanted, c.Greedy)
				wanted++
			}
			tokens++
		}
		if c.Rows {
			logits.Rows = n.rows[first:wanted]
		}
		var row []float32
		if c.Logits {
			row = n.rows[wanted-1]
		}
		n.chunks = append(n.chunks, row)
	}
	if err := n.run(step, tokens, wanted); err != nil {
		return runner.Logits{}, err
	}
	if n.states != nil {
		logits.Hidden = n.states.chunks
	}
	logits.Decode, logits.Draft, logits.Chunks = n.rows[:len(step.Decode)], n.rows[len(step.Decode):drafted], n.chunks
	return logits, nil
}

// run computes a pass over so many tokens, of which the first wanted of the index are those whose logits are wanted. Those
// whose hidden states are wanted it puts behind them.
func (n *native) run(step runner.Step, tokens, wanted int) error {
	l, indices := n.lane, wanted
	if n.states != nil {
		var err error
		if indices, err = n.states.want(n, step, tokens, wanted); err != nil {
			return err
		}
		if indices > wanted {
			l = n.states.lane
		}
	}
	if err := errors.Join(
		n.make(tokens, indices, wanted),
		l.setInput(nativeIDs, n.idTensors[tokens]),
		l.setInput(nativeIndex, n.indices[indices]),
		l.setOutput(outLogits, n.wanted[wanted]),
	); err != nil {
		return err
	}
	return l.run()
}

// wholeGroups rounds a number of positions up: keys lie in groups of positions, and what is copied too many is written
// again before it is read.
func wholeGroups(positions int) int {
	return (positions + kernels.PositionUnit - 1) / kernels.PositionUnit * kernels.PositionUnit
}

// unbind frees the binding.
func (n *native) unbind() error {
	err := n.lane.close()
	if n.states != nil {
		err = errors.Join(err, n.states.lane.close())
		n.states.lane = nil
	}
	n.lane = nil
	return err
}

// free gives the memory back, which no step may use any more.
func (n *native) free() error {
	var errs error
	if n.slots != nil {
		errs = errors.Join(errs, n.slots.free())
	}
	if n.region != nil {
		errs = errors.Join(errs, n.region.free())
	}
	if n.states != nil {
		errs = errors.Join(errs, n.states.free())
	}
	n.slots, n.region, n.states = nil, nil, nil
	return errs
}

// close frees what ONNX Runtime's session refers to.
func (n *native) close() {
	if n.domain != nil {
		n.api.releaseDomain(n.domain)
	}
	n.state.Close()
}

// limit says that any tokens go into one pass, and that each has the bits that it has anywhere.
func (n *native) limit(l *runner.Limits) {
	mixes(l)
	l.Uniform, l.PositionBytes = true, positionBytes(n.slots)
}

// copySlot copies positions of a slot.
func (n *native) copySlot(dst, src, length int) { n.slots.copySlot(dst, src, wholeGroups(length)) }

// release gives a slot's memory back.
func (n *native) release(slot int) error { return n.slots.release(slot) }

// Blocks of the prefix store are whole groups of keys.
const _ = -uint(runner.BlockSize % kernels.PositionUnit)

// save copies positions of a slot into the prefix store.
func (n *native) save(slot, past int, blocks []int) error {
	if past%kernels.PositionUnit != 0 {
		return fmt.Errorf("saving blocks from position %d on, which is not the first of a group of %d", past, kernels.PositionUnit)
	}
	n.session.prefixes.halves.save(slot, past, blocks)
	return nil
}

// load takes positions of a slot from the prefix store.
func (n *native) load(slot int, blocks []int, length int) {
	n.session.prefixes.halves.load(slot, blocks, wholeGroups(length))
}

package ort

import (
	"errors"
	"fmt"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/runner"
)

// hybrid runs a graph that takes decode rows and a chunk in one step (see [model.HybridGraph]). The slots hold 8-bit
// keys and values, which decode rows read; a prompt's are float32 in the scratch while it runs, and every chunk's are
// rounded into the prompt's slot. The scratch is what the prefix store saves from and loads into, so that tokens do not
// depend on where a prompt's beginning came from.
//
// Neither part of a step may be empty: without rows ONNX Runtime's attention divides by zero and the process dies, and a
// chunk without tokens is refused. What is missing is made up by a token that nobody asks for, with a cache of one
// position.
type hybrid struct {
	session *Session
	graph   *model.HybridGraph
	slots   *cache[int8]
	scratch *cache[float32] // one slot
	owner   int             // the slot whose prompt the scratch holds; -1: none
	inverse [][]float32     // by buffer and channel: 1 / scale
	dummy   struct {
		region *region
		row    []onnx.Value // of one position
		chunk  []onnx.Value
	}

	region  *region
	ids     []int64
	lengths []int32 // of the rows
	index   []int64
	logits  []float32
	rows    [][]float32 // what logits is made of
	totals  []int32     // of the rows, of the chunk
	chunk   []int32     // its length
	split   []int64
	shape   []int64

	totalTensors, splitTensors [2]onnx.Value // total of the rows and of the chunk; split and shape
	chunkTensor                onnx.Value
	idTensors                  []onnx.Value // [T] by T
	wanted                     [][2]onnx.Value
	lanes                      [2][]*lane // without and with a chunk, by the number of rows; made when first needed
}

// The places of a hybrid graph's inputs behind those that every graph has.
const (
	inSplit = iota + inIndex + 1
	inShape
	inChunkLengths
	inChunkTotal
)

// maxDraft is the most tokens of a draft. One row with a draft is given to the graph as a row of several tokens: 8-bit
// attention gives each the bits that it would have alone.
const maxDraft = 16

// newHybrid makes what runs a session's steps; reserve gives it memory.
func newHybrid(s *Session) *hybrid {
	c := s.config
	h := &hybrid{
		session: s, graph: c.Graph.Hybrid, owner: -1,
		idTensors: make([]onnx.Value, max(c.Slots, 1+maxDraft)+max(c.MaxChunk, 2)+1),
		wanted:    make([][2]onnx.Value, max(c.Slots, 1+maxDraft)+runner.MaxRows+1),
	}
	for i := range h.lanes {
		h.lanes[i] = make([]*lane, c.Slots+1)
	}
	return h
}

// limit says that rows and chunk share a pass, and that drafts are checked. A prompt runs on float32 and rows on 8 bits:
// nothing is uniform.
func (h *hybrid) limit(l *runner.Limits) {
	mixes(l)
	l.PositionBytes = positionBytes(h.slots)
}

// mixes says of a session that its rows and its chunk share a pass, and that it checks drafts.
func mixes(l *runner.Limits) { l.Mixes, l.MaxDraft = true, min(maxDraft, l.MaxLength-1) }

// reserve takes address space for the session's steps.
func (h *hybrid) reserve() (err error) {
	c := h.session.config
	if h.inverse, err = readScales(c); err != nil {
		return err
	}
	if h.slots, err = newCache[int8](c.Slots, c.MaxLength, c.Graph); err != nil {
		return err
	}
	if h.scratch, err = newCache[float32](1, c.MaxLength, c.Graph); err != nil {
		return err
	}
	if err := h.newBuffers(); err != nil {
		return err
	}
	if err := h.newDummies(); err != nil {
		return err
	}
	h.session.prefixes, err = reservePrefixes(&c, h.scratch, h.slots)
	return err
}

// newBuffers reserves inputs and logits.
func (h *hybrid) newBuffers() error {
	c := h.session.config
	rows, tokens := len(h.wanted), len(h.idTensors)
	size, ok := product(rows, c.Graph.VocabSize, 4)
	if !ok {
		return fmt.Errorf("%d rows of %d logits do not fit into memory", rows, c.Graph.VocabSize)
	}
	var err error
	if h.region, err = reserve(size + 8*(tokens+rows+c.Slots) + 10*pages(1)); err != nil {
		return err
	}
	h.ids, h.index = carve[int64](h.region, tokens), carve[int64](h.region, rows)
	h.lengths, h.totals, h.chunk = carve[int32](h.region, c.Slots), carve[int32](h.region, 2), carve[int32](h.region, 1)
	h.split, h.shape = carve[int64](h.region, 2), carve[int64](h.region, 3)
	h.logits = carve[float32](h.region, rows*c.Graph.VocabSize)
	h.rows = make([][]float32, rows)
	for i := range h.rows {
		h.rows[i] = h.logits[i*c.Graph.VocabSize : (i+1)*c.Graph.VocabSize : (i+1)*c.Graph.VocabSize]
	}
	owner := &h.session.tensors
	var errs [5]error
	h.totalTensors[0], errs[0] = newTensor(owner, h.totals[:1], 1)
	h.totalTensors[1], errs[1] = newTensor(owner, h.totals[1:], 1)
	h.chunkTensor, errs[2] = newTensor(owner, h.chunk, 1)
	h.splitTensors[0], errs[3] = newTensor(owner, h.split, 2)
	h.splitTensors[1], errs[4] = newTensor(owner, h.shape, 3)
	return errors.Join(errs[:]...)
}

// newDummies makes caches of one position for the parts of a step that are not there.
func (h *hybrid) newDummies() error {
	c, owner := h.session.config, &h.session.tensors
	g, width := c.Graph, c.Graph.KVHeads*c.Graph.HeadSize
	var err error
	if h.dummy.region, err = reserve(2 * g.Layers * (pages(4*width) + pages(width))); err != nil {
		return err
	}
	for range 2 * g.Layers {
		row, err1 := newTensor(owner, carve[int8](h.dummy.region, width), 1, int64(g.KVHeads), 1, int64(g.HeadSize))
		chunk, err2 := newTensor(owner, carve[float32](h.dummy.region, width), 1, int64(g.KVHeads), 1, int64(g.HeadSize))
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		h.dummy.row, h.dummy.chunk = append(h.dummy.row, row), append(h.dummy.chunk, chunk)
	}
	return nil
}

// step runs decode rows and a chunk together.
func (h *hybrid) step(step runner.Step) (runner.Logits, error) {
	rows := h.setRows(step.Decode)
	chunk, padded, err := h.setChunk(step.Chunks, rows)
	if err != nil {
		return runner.Logits{}, err
	}
	h.split[0], h.split[1] = int64(rows), int64(padded)
	wanted := h.want(step, rows)

	l, err := h.lane(len(step.Decode), len(step.Chunks) > 0)
	if err != nil {
		return runner.Logits{}, err
	}
	if err := h.bind(l, rows+padded, wanted); err != nil {
		return runner.Logits{}, err
	}
	if err := l.run(); err != nil {
		return runner.Logits{}, err
	}
	var logits runner.Logits
	if n := len(step.Decode); n > 0 {
		logits.Decode, logits.Draft = h.rows[:n], h.rows[n:n+len(step.Decode[0].Draft)]
	}
	for _, c := range step.Chunks { // one at most
		h.round(c.Slot, c.Past, chunk)
		of := h.rows[len(logits.Decode)+len(logits.Draft) : wanted]
		logits.Chunks = h.session.chunks[:1]
		logits.Chunks[0] = nil
		if c.Rows {
			logits.Rows = of
		}
		if c.Logits {
			logits.Chunks[0] = of[len(of)-1]
		}
	}
	return logits, nil
}

// setRows fills in the decode rows, or one that nobody asks for, and says how many tokens they are.
func (h *hybrid) setRows(decode []runner.DecodeRow) int {
	total, rows := 1, max(1, len(decode))
	h.ids[0], h.lengths[0] = 0, 0
	for i, row := range decode {
		h.ids[i] = int64(row.Token)
		h.lengths[i] = int32(row.Past) // the length after the run, minus one
		total = max(total, row.Past+1)
	}
	tokens := 1 // of each row
	if len(decode) == 1 {
		for i, token := range decode[0].Draft {
			h.ids[1+i] = int64(token)
		}
		n := len(decode[0].Draft)
		tokens, total = tokens+n, total+n
		h.lengths[0] += int32(n)
	}
	h.totals[0] = int32(total)
	h.shape[0], h.shape[1], h.shape[2] = int64(rows), int64(tokens), int64(h.graph.QKVWidth)
	return rows * tokens
}

// setChunk fills in the chunk's tokens behind the rows', or one that nobody asks for. It says how many tokens the chunk
// has and how many the graph is given: a chunk of one token is run as two, where the slot has room, for the reason that
// [Session.runChunk] gives.
func (h *hybrid) setChunk(chunks []runner.Chunk, rows int) (tokens, padded int, err error) {
	if len(chunks) == 0 {
		h.ids[rows], h.chunk[0], h.totals[1] = 0, 0, 1
		return 0, 1, nil
	}
	c := &chunks[0]
	if c.Past > 0 && h.owner != c.Slot {
		return 0, 0, fmt.Errorf("ort: a chunk at position %d of slot %d, but the prompt that is running is in slot %d", c.Past, c.Slot, h.owner)
	}
	h.owner = c.Slot
	for i, token := range c.Tokens {
		h.ids[rows+i] = int64(token)
	}
	tokens, padded = len(c.Tokens), len(c.Tokens)
	if tokens == 1 && c.Past+2 <= h.session.config.MaxLength {
		h.ids[rows+1] = h.ids[rows]
		padded = 2
	}
	h.chunk[0], h.totals[1] = int32(c.Past+padded-1), int32(c.Past+padded)
	return tokens, padded, nil
}

// want lists the tokens whose logits are wanted: those of the rows, then the chunk's. It returns their number.
func (h *hybrid) want(step runner.Step, rows int) int {
	n := 0
	if len(step.Decode) > 0 {
		for ; n < rows; n++ {
			h.index[n] = int64(n)
		}
	}
	for _, c := range step.Chunks {
		switch {
		case c.Rows:
			for i := range c.Tokens {
				h.index[n] = int64(rows + i)
				n++
			}
		case c.Logits:
			h.index[n] = int64(rows + len(c.Tokens) - 1)
			n++
		}
	}
	return n
}

// lane returns the bindings of so many rows, with the scratch or with what stands in for it.
func (h *hybrid) lane(rows int, chunk bool) (*lane, error) {
	lanes := h.lanes[0]
	if chunk {
		lanes = h.lanes[1]
	}
	if lanes[rows] != nil {
		return lanes[rows], nil
	}
	s := h.session
	past, scratch := h.dummy.row, h.dummy.chunk
	var err error
	if rows > 0 {
		if past, err = cacheTensors(s, h.slots, 0, rows); err != nil {
			return nil, err
		}
	}
	if chunk {
		if scratch, err = cacheTensors(s, h.scratch, 0, 1); err != nil {
			return nil, err
		}
	}
	lengths, err := newTensor(&s.tensors, h.lengths, int64(max(1, rows)))
	if err != nil {
		return nil, err
	}
	if err := h.make(1, 0); err != nil {
		return nil, err
	}
	inputs := []onnx.Value{
		inIDs: h.idTensors[1], inLengths: lengths, inTotal: h.totalTensors[0], inIndex: h.wanted[0][0],
		inSplit: h.splitTensors[0], inShape: h.splitTensors[1], inChunkLengths: h.chunkTensor, inChunkTotal: h.totalTensors[1],
	}
	outputs := []onnx.Value{outLogits: h.wanted[0][1]}
	for i := 0; i < len(past); i += 2 {
		layer := []onnx.Value{past[i], past[i+1], scratch[i], scratch[i+1]}
		inputs, outputs = append(inputs, layer...), append(outputs, layer...)
	}
	lanes[rows], err = newLane(s.session, s.names, s.binds(), inputs, outputs)
	return lanes[rows], err
}

// make makes the tensors for a number of tokens and of wanted logits.
func (h *hybrid) make(tokens, wanted int) error {
	owner := &h.session.tensors
	var errs [3]error
	if h.idTensors[tokens] == nil {
		h.idTensors[tokens], errs[0] = newTensor(owner, h.ids, int64(tokens))
	}
	if h.wanted[wanted][0] == nil {
		h.wanted[wanted][0], errs[1] = newTensor(owner, h.index, int64(wanted))
		h.wanted[wanted][1], errs[2] = newTensor(owner, h.logits, int64(wanted), int64(h.session.config.Graph.VocabSize))
	}
	return errors.Join(errs[:]...)
}

// bind gives a lane the tokens and logits of a step.
func (h *hybrid) bind(l *lane, tokens, wanted int) error {
	return errors.Join(
		h.make(tokens, wanted),
		l.setInput(inIDs, h.idTensors[tokens]),
		l.setInput(inIndex, h.wanted[wanted][0]),
		l.setOutput(outLogits, h.wanted[wanted][1]),
	)
}

// unbind frees the bindings.
func (h *hybrid) unbind() error {
	var errs error
	for _, lanes := range h.lanes {
		for _, l := range lanes {
			errs = errors.Join(errs, l.close())
		}
	}
	return errs
}

// free gives the memory back, which nothing may point into any more.
func (h *hybrid) free() error {
	var errs error
	if h.slots != nil {
		errs = errors.Join(errs, h.slots.free())
	}
	if h.scratch != nil {
		errs = errors.Join(errs, h.scratch.free())
	}
	for _, r := range []*region{h.region, h.dummy.region} {
		if r != nil {
			errs = errors.Join(errs, r.free())
		}
	}
	return errs
}

// close has nothing left to do.
func (h *hybrid) close() {}

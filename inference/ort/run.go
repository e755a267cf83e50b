package ort

import (
	"errors"
	"fmt"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sluiceml/sluice/inference/runner"
)

// buffers are the inputs of runs, apart from the cache, and their logits. Decode rows and the chunk have their own: a
// step uses both.
type buffers struct {
	region *region

	decodeIDs     []int64 // one per row
	decodeLengths []int32 // one per row
	decodeTotal   []int32 // one value
	decodeIndex   []int64 // 0, 1, 2, …: the logits of every row
	decodeLogits  [][]float32
	allLogits     []float32 // what decodeLogits are rows of

	chunkIDs     []int64 // MaxChunk of them, and at least two
	chunkLengths []int32 // one value
	chunkTotal   []int32 // one value
	chunkIndex   []int64 // runner.MaxRows of them
	chunkRows    [][]float32
	chunkLogits  []float32 // what chunkRows are rows of

	// Tensors that all lanes share.
	decodeTotalTensor, chunkLengthsTensor, chunkTotalTensor onnx.Value
	// By the number of a chunk's tokens whose logits are wanted.
	chunkIndexTensor, chunkLogitsTensor [runner.MaxRows + 1]onnx.Value
}

// newBuffers reserves the buffers of a session.
func newBuffers(c Config, owner *tensors) (*buffers, error) {
	vocabulary := c.Graph.VocabSize
	values, ok := product(c.Slots+runner.MaxRows, vocabulary, 4)
	if !ok {
		return nil, fmt.Errorf("%d rows of %d logits do not fit into memory", c.Slots, vocabulary)
	}
	// Each buffer begins on a page of its own; there are ten of them.
	r, err := reserve(values + 8*(3*c.Slots+c.MaxChunk+1+runner.MaxRows) + 10*pages(1))
	if err != nil {
		return nil, err
	}
	b := &buffers{
		region:        r,
		decodeIDs:     carve[int64](r, c.Slots),
		decodeLengths: carve[int32](r, c.Slots),
		decodeTotal:   carve[int32](r, 1),
		decodeIndex:   carve[int64](r, c.Slots),
		allLogits:     carve[float32](r, c.Slots*vocabulary),
		decodeLogits:  make([][]float32, c.Slots),
		chunkIDs:      carve[int64](r, c.MaxChunk+1),
		chunkLengths:  carve[int32](r, 1),
		chunkTotal:    carve[int32](r, 1),
		chunkIndex:    carve[int64](r, runner.MaxRows),
		chunkRows:     make([][]float32, runner.MaxRows),
		chunkLogits:   carve[float32](r, runner.MaxRows*vocabulary),
	}
	for i := range b.chunkRows {
		b.chunkRows[i] = b.chunkLogits[i*vocabulary : (i+1)*vocabulary : (i+1)*vocabulary]
	}
	for i := range b.decodeLogits {
		b.decodeIndex[i] = int64(i)
		b.decodeLogits[i] = b.allLogits[i*vocabulary : (i+1)*vocabulary : (i+1)*vocabulary]
	}
	b.decodeTotalTensor, err = newTensor(owner, b.decodeTotal, 1)
	errs := err
	b.chunkLengthsTensor, err = newTensor(owner, b.chunkLengths, 1)
	errs = errors.Join(errs, err)
	b.chunkTotalTensor, err = newTensor(owner, b.chunkTotal, 1)
	errs = errors.Join(errs, err)
	for n := range b.chunkIndexTensor {
		b.chunkIndexTensor[n], err = newTensor(owner, b.chunkIndex, int64(n))
		errs = errors.Join(errs, err)
		b.chunkLogitsTensor[n], err = newTensor(owner, b.chunkLogits, int64(n), int64(vocabulary))
		errs = errors.Join(errs, err)
	}
	if errs != nil {
		return nil, errors.Join(errs, owner.close(), r.free())
	}
	return b, nil
}

// runDecode runs one token of each row. The rows are the first slots.
func (s *Session) runDecode(rows []runner.DecodeRow) error {
	b := s.buffers
	total := 0
	for i, row := range rows {
		b.decodeIDs[i] = int64(row.Token)
		b.decodeLengths[i] = int32(row.Past) // the length after the run, minus one
		total = max(total, row.Past+1)
	}
	b.decodeTotal[0] = int32(total)
	l := s.decode[len(rows)]
	if l == nil {
		var err error
		if l, err = s.newDecodeLane(len(rows)); err != nil {
			return err
		}
		s.decode[len(rows)] = l
	}
	return l.run()
}

// newDecodeLane binds a batch of n rows.
func (s *Session) newDecodeLane(n int) (*lane, error) {
	b, rows := s.buffers, int64(n)
	ids, err1 := newTensor(&s.tensors, b.decodeIDs, rows, 1)
	lengths, err2 := newTensor(&s.tensors, b.decodeLengths, rows)
	index, err3 := newTensor(&s.tensors, b.decodeIndex, rows)
	logits, err4 := newTensor(&s.tensors, b.allLogits, rows, int64(s.config.Graph.VocabSize))
	past, err5 := cacheTensors(s, s.cache, 0, n)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	inputs := []onnx.Value{inIDs: ids, inLengths: lengths, inTotal: b.decodeTotalTensor, inIndex: index}
	inputs, outputs := append(inputs, past...), append([]onnx.Value{logits}, past...)
	if s.hidden != nil {
		inputs = append(inputs, index) // the head takes every row
	}
	return newLane(s.session, s.names, s.binds(), inputs, outputs)
}

// runChunk runs the next tokens of one prompt.
//
// A chunk of one token is run as two, where the slot has room: attention over one new token adds up in another order
// than over several, so that the logits would depend on how the prompt was cut. What the second token writes lies
// beyond the slot's length and is overwritten by the next token.
func (s *Session) runChunk(chunk *runner.Chunk) error {
	b, n := s.buffers, len(chunk.Tokens)
	for i, token := range chunk.Tokens {
		b.chunkIDs[i] = int64(token)
	}
	wanted := s.wantRows(chunk)
	if n == 1 && chunk.Past+2 <= s.config.MaxLength {
		b.chunkIDs[1] = b.chunkIDs[0]
		n = 2
	}
	b.chunkLengths[0] = int32(chunk.Past + n - 1)
	b.chunkTotal[0] = int32(chunk.Past + n)
	lanes := s.chunk
	if chunk.Hidden {
		lanes = s.stateLanes
	}
	l := lanes[chunk.Slot]
	if l == nil {
		var err error
		if l, err = s.newChunkLane(chunk.Slot); err != nil {
			return err
		}
		lanes[chunk.Slot] = l
	}
	if s.chunkIDs[n] == nil {
		var err error
		if s.chunkIDs[n], err = newTensor(&s.tensors, b.chunkIDs, 1, int64(n)); err != nil {
			return err
		}
	}
	index := b.chunkIndexTensor[wanted]
	if s.hidden != nil {
		var err error
		if index, err = s.setStates(l, chunk, index, wanted); err != nil {
			return err
		}
	}
	if err := errors.Join(
		l.setInput(inIDs, s.chunkIDs[n]),
		l.setInput(inIndex, index),
		l.setOutput(outLogits, b.chunkLogitsTensor[wanted]),
	); err != nil {
		return err
	}
	return l.run()
}

// setStates gives a lane the rows that the head takes, as many as there are logits wanted. Of a chunk whose hidden states
// are wanted, and no logits, it also sets where they go, and returns the index of all its tokens in place of the logits'.
func (s *Session) setStates(l *lane, chunk *runner.Chunk, index onnx.Value, wanted int) (onnx.Value, error) {
	rows, err := s.states.index(&s.tensors, wanted)
	if err != nil {
		return nil, err
	}
	if err := l.setInput(len(s.names.inputs)-1, rows); err != nil || !chunk.Hidden {
		return index, err
	}
	n := len(chunk.Tokens)
	states, err := s.states.output(&s.tensors, n)
	if err != nil {
		return nil, err
	}
	if err := l.setOutput(len(s.names.outputs)-1, states); err != nil {
		return nil, err
	}
	return s.states.index(&s.tensors, n)
}

// wantRows sets which of a chunk's logits are wanted, and says how many.
func (s *Session) wantRows(chunk *runner.Chunk) int {
	index := s.buffers.chunkIndex
	switch n := len(chunk.Tokens); {
	case chunk.Rows:
		for i := range n {
			index[i] = int64(i)
		}
		return n
	case chunk.Logits:
		index[0] = int64(n - 1)
		return 1
	}
	return 0
}

// newChunkLane binds a slot. Tokens and logits are bound as each chunk needs them.
func (s *Session) newChunkLane(slot int) (*lane, error) {
	b := s.buffers
	past, err := cacheTensors(s, s.cache, slot, slot+1)
	if err != nil {
		return nil, err
	}
	if s.chunkIDs[1] == nil {
		if s.chunkIDs[1], err = newTensor(&s.tensors, b.chunkIDs, 1, 1); err != nil {
			return nil, err
		}
	}
	inputs := []onnx.Value{
		inIDs: s.chunkIDs[1], inLengths: b.chunkLengthsTensor, inTotal: b.chunkTotalTensor, inIndex: b.chunkIndexTensor[0],
	}
	inputs, outputs := append(inputs, past...), append([]onnx.Value{outLogits: b.chunkLogitsTensor[0]}, past...)
	if s.hidden != nil {
		rows, err := s.states.index(&s.tensors, 0)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, rows)
	}
	l, err := newLane(s.session, s.names, s.binds(), inputs, outputs)
	if err == nil && s.hidden != nil {
		l.outputs = append(l.outputs, nil) // the hidden states, bound where they are wanted
	}
	return l, err
}

// cacheTensors makes tensors over slots from to to-1 of the keys and values of each layer.
func cacheTensors[T kv](s *Session, c *cache[T], from, to int) ([]onnx.Value, error) {
	g := s.config.Graph
	values := make([]onnx.Value, len(c.buffers))
	for i := range values {
		var err error
		values[i], err = newTensor(&s.tensors, c.view(i, from, to),
			int64(to-from), int64(g.KVHeads), int64(s.config.MaxLength), int64(g.HeadSize))
		if err != nil {
			return nil, err
		}
	}
	return values, nil
}

// binds says whether tensors can stay bound from one run to the next. To a GPU, ONNX Runtime copies an input when it is
// bound, and never again.
func (s *Session) binds() bool { return s.config.Device.Provider == CPU }

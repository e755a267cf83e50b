package ort

import (
	"errors"
	"fmt"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/quant"
	"github.com/sluiceml/sluice/inference/runner"
)

// masked runs a graph of another exporter whose caches may be shared buffers with a length for each row (see
// [model.MaskedGraph]): decode rows in one run, the chunk in another. Its tensors are made for each run: the mask is as
// wide as the longest row. A chunk of one token is run as two, as [Session.runChunk] does.
type masked[T kv] struct {
	maskedInputs
	slots *cache[T]
}

// newMasked makes what runs a session's steps.
func newMasked(s *Session) executor {
	half := s.config.Graph.KVType == kvFloat16
	switch shared := s.config.Graph.Masked.Shared; {
	case shared && half:
		return &masked[uint16]{session: s}
	case shared:
		return &masked[float32]{session: s}
	case half:
		return &growing[uint16]{session: s}
	default:
		return &growing[float32]{session: s}
	}
}

// The types of keys, values and logits, as model.Graph names them.
const (
	kvFloat32 = "float32"
	kvFloat16 = "float16"
)

// maskedNames are the inputs and outputs of a graph in the order of a run's tensors.
func maskedNames(g model.Graph) *names {
	n := &names{inputs: []string{g.InputIDs, g.Masked.AttentionMask}, outputs: []string{g.Logits}}
	for _, name := range []string{g.Masked.PositionIDs, g.Masked.LogitsToKeep} {
		if name != "" {
			n.inputs = append(n.inputs, name)
		}
	}
	for layer := range g.Layers {
		n.inputs = append(n.inputs, fmt.Sprintf(g.PastKey, layer), fmt.Sprintf(g.PastValue, layer))
		n.outputs = append(n.outputs, fmt.Sprintf(g.PresentKey, layer), fmt.Sprintf(g.PresentValue, layer))
	}
	return n
}

// maskedInputs are what runs of such a graph take beside the caches, and their logits.
type maskedInputs struct {
	session *Session
	region  *region

	ids, mask, positions, keep []int64
	raw                        []float32 // logits as the graph gives them, if they are float32
	rawHalves                  []uint16  // if they are float16
	decode, chunk              [][]float32
}

// reserve takes address space for the inputs and logits.
func (m *maskedInputs) reserve() error {
	c := m.session.config
	rows := max(c.Slots, c.MaxChunk+1)
	logits, ok1 := product(rows+c.Slots+runner.MaxRows, c.Graph.VocabSize, 4)
	mask, ok2 := product(c.Slots, c.MaxLength, 8)
	if !ok1 || !ok2 {
		return fmt.Errorf("%d rows of %d logits do not fit into memory", rows, c.Graph.VocabSize)
	}
	var err error
	if m.region, err = reserve(logits + mask + 3*8*rows + 10*pages(1)); err != nil {
		return err
	}
	m.ids, m.positions = carve[int64](m.region, rows), carve[int64](m.region, rows)
	m.mask, m.keep = carve[int64](m.region, c.Slots*c.MaxLength), carve[int64](m.region, 1)
	m.decode, m.chunk = m.newRows(c.Slots), m.newRows(runner.MaxRows)
	if c.Graph.Masked.LogitsType == kvFloat16 {
		m.rawHalves = carve[uint16](m.region, rows*c.Graph.VocabSize)
	} else {
		m.raw = carve[float32](m.region, rows*c.Graph.VocabSize)
	}
	return nil
}

// newRows carves rows of logits.
func (m *maskedInputs) newRows(n int) [][]float32 {
	width := m.session.config.Graph.VocabSize
	values, rows := carve[float32](m.region, n*width), make([][]float32, n)
	for i := range rows {
		rows[i] = values[i*width : (i+1)*width : (i+1)*width]
	}
	return rows
}

// row fills in one row of a run: tokens after past positions, of a run whose longest row holds total positions after it.
func (m *maskedInputs) row(i, past, total int, tokens ...uint32) {
	for j, token := range tokens {
		m.ids[i*len(tokens)+j], m.positions[i*len(tokens)+j] = int64(token), int64(past+j)
	}
	row := m.mask[i*total : (i+1)*total]
	for j := range row {
		row[j] = 0
		if j < past+len(tokens) {
			row[j] = 1
		}
	}
}

// run computes rows of tokens each, whose longest holds total positions after it, and writes the last keep logits of
// each row to to, one slice for each.
func (m *maskedInputs) run(rows, tokens, total, keep int, past, present []onnx.Value, to [][]float32) (err error) {
	c := m.session.config
	var made tensors // of this run alone
	defer func() { err = errors.Join(err, made.close()) }()
	ids, err1 := newTensor(&made, m.ids, int64(rows), int64(tokens))
	mask, err2 := newTensor(&made, m.mask, int64(rows), int64(total))
	inputs := []onnx.Value{ids, mask}
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if c.Graph.Masked.PositionIDs != "" {
		positions, err := newTensor(&made, m.positions, int64(rows), int64(tokens))
		if err != nil {
			return err
		}
		inputs = append(inputs, positions)
	}
	given := tokens // of each row, that there are logits of
	if c.Graph.Masked.LogitsToKeep != "" {
		given = max(keep, 1)
		m.keep[0] = int64(given)
		scalar, err := onnx.NewScalar(m.keep[0])
		if err != nil {
			return fmt.Errorf("making a scalar: %w", err)
		}
		made.all = append(made.all, scalar)
		inputs = append(inputs, scalar)
	}
	logits, err := m.logits(&made, rows, given)
	if err != nil {
		return err
	}
	if err := m.session.session.Run(append(inputs, past...), append([]onnx.Value{logits}, present...)); err != nil {
		return err
	}
	for i := range rows {
		for j := range keep {
			m.take(to[i*keep+j], i*given+given-keep+j)
		}
	}
	return nil
}

// logits makes the tensor that a run writes its logits to.
func (m *maskedInputs) logits(made *tensors, rows, given int) (onnx.Value, error) {
	width := int64(m.session.config.Graph.VocabSize)
	if m.rawHalves != nil {
		return newKV(made, m.rawHalves, int64(rows), int64(given), width)
	}
	return newTensor(made, m.raw, int64(rows), int64(given), width)
}

// take copies a row of a run's logits.
func (m *maskedInputs) take(to []float32, row int) {
	width := len(to)
	if m.rawHalves == nil {
		copy(to, m.raw[row*width:])
		return
	}
	for i, v := range m.rawHalves[row*width : (row+1)*width] {
		to[i] = quant.Float16(v)
	}
}

// chunkLogits are the rows of a chunk's logits as the step wants them.
func (m *maskedInputs) chunkLogits(c *runner.Chunk, logits *runner.Logits) {
	rows := m.chunk[:wanted(c)]
	if c.Rows {
		logits.Rows = rows
	}
	logits.Chunks = m.session.chunks[:1]
	logits.Chunks[0] = nil
	if c.Logits {
		logits.Chunks[0] = rows[len(rows)-1]
	}
}

// wanted is the number of a chunk's last tokens whose logits are wanted.
func wanted(c *runner.Chunk) int {
	switch {
	case c.Rows:
		return len(c.Tokens)
	case c.Logits:
		return 1
	default:
		return 0
	}
}

// free gives the memory back.
func (m *maskedInputs) free() error {
	if m.region == nil {
		return nil
	}
	return m.region.free()
}

// newKV makes a tensor of floats or of halves over the beginning of data.
func newKV[T kv](owner *tensors, data []T, shape ...int64) (onnx.Value, error) {
	halves, ok := any(data).([]uint16)
	if !ok {
		return newTensor(owner, data, shape...)
	}
	t, err := onnx.NewCustomDataTensor(onnx.NewShape(shape...), bytesOf(halves), onnx.TensorElementDataTypeFloat16)
	if err != nil {
		return nil, fmt.Errorf("making a tensor of shape %v: %w", shape, err)
	}
	owner.all = append(owner.all, t)
	return t, nil
}

// reserve takes address space for keys, values, inputs, logits and the prefix store.
func (m *masked[T]) reserve() (err error) {
	c := m.session.config
	if m.slots, err = newCache[T](c.Slots, c.MaxLength, c.Graph); err != nil {
		return err
	}
	if err := m.maskedInputs.reserve(); err != nil {
		return err
	}
	switch slots := any(m.slots).(type) {
	case *cache[float32]:
		m.session.prefixes, err = reservePrefixes(&c, slots, nil)
	case *cache[uint16]:
		m.session.prefixes, err = reserveHalves(&c, slots)
	}
	return err
}

// step runs the decode rows, then the chunk.
func (m *masked[T]) step(step runner.Step) (logits runner.Logits, err error) {
	if n := len(step.Decode); n > 0 {
		total := 0
		for _, row := range step.Decode {
			total = max(total, row.Past+1)
		}
		for i, row := range step.Decode {
			m.row(i, row.Past, total, row.Token)
		}
		if err := m.runSlots(0, n, 1, total, 1, m.decode); err != nil {
			return logits, err
		}
		logits.Decode = m.decode[:n]
	}
	if len(step.Chunks) == 0 {
		return logits, nil
	}
	c := &step.Chunks[0]
	tokens, keep := c.Tokens, wanted(c)
	if len(tokens) == 1 && c.Past+2 <= m.session.config.MaxLength {
		tokens = []uint32{tokens[0], tokens[0]}
		keep *= 2 // the first of the two is the one that is wanted
	}
	m.row(0, c.Past, c.Past+len(tokens), tokens...)
	if err := m.runSlots(c.Slot, c.Slot+1, len(tokens), c.Past+len(tokens), keep, m.chunk); err != nil {
		return logits, err
	}
	m.chunkLogits(c, &logits)
	return logits, nil
}

// runSlots runs over slots from to to-1.
func (m *masked[T]) runSlots(from, to, tokens, total, keep int, logits [][]float32) (err error) {
	var made tensors
	defer func() { err = errors.Join(err, made.close()) }()
	g := m.session.config.Graph
	past := make([]onnx.Value, len(m.slots.buffers))
	for i := range past {
		if past[i], err = newKV(&made, m.slots.view(i, from, to),
			int64(to-from), int64(g.KVHeads), int64(m.session.config.MaxLength), int64(g.HeadSize)); err != nil {
			return err
		}
	}
	return m.run(to-from, tokens, total, keep, past, past, logits)
}

func (m *masked[T]) copySlot(dst, src, length int) { m.slots.copySlot(dst, src, length) }
func (m *masked[T]) release(slot int) error        { return m.slots.release(slot) }

// save copies positions of a slot into the prefix store.
func (m *masked[T]) save(slot, past int, blocks []int) error {
	if p := m.session.prefixes; p.halves != nil {
		p.halves.save(slot, past, blocks)
	} else {
		p.exact.save(slot, past, blocks)
	}
	return nil
}

// load copies positions of the prefix store into a slot.
func (m *masked[T]) load(slot int, blocks []int, length int) {
	if p := m.session.prefixes; p.halves != nil {
		p.halves.load(slot, blocks, length)
	} else {
		p.exact.load(slot, blocks, length)
	}
}

// limit says what a position takes.
func (m *masked[T]) limit(l *runner.Limits) { l.PositionBytes = positionBytes(m.slots) }

// unbind has nothing to do: tensors live for one run.
func (m *masked[T]) unbind() error { return nil }

// free gives the memory back.
func (m *masked[T]) free() error {
	err := m.maskedInputs.free()
	if m.slots != nil {
		err = errors.Join(err, m.slots.free())
	}
	return err
}

// close has nothing left to do.
func (m *masked[T]) close() {}

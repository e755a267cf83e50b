package ort

import (
	"cmp"
	"errors"
	"fmt"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort/kernels"
	"github.com/sluiceml/sluice/inference/runner"
)

// Config is what a session is made of.
type Config struct {
	Model         string      // path of the .onnx file; its weights lie where it says
	Graph         model.Graph // from the folder's manifest, where it has been checked
	ContextLength int         // the longest sequence that the graph can hold, from the manifest
	Device        Device

	Slots     int // sequences held at once
	MaxLength int // positions per slot, at most ContextLength
	MaxChunk  int // most tokens of a prompt chunk, at most MaxLength

	// NoKernels leaves all work to ONNX Runtime's own operators, where those of package kernels would do some.
	NoKernels bool

	variant kernels.Variant // of the kernels: 0, the processor's best, but in tests

	PrefixBytes  int // most memory of the prefix store; what holds no block is no store
	PrefixTokens int // most positions that it holds; 0: as many as there is memory for

	Weights *Weights // of the same model, to be shared with other sessions on the CPU; nil: the session has its own
}

// validate says everything that is wrong, by field.
func (c Config) validate() error {
	var errs error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = errors.Join(errs, fmt.Errorf(format, args...))
		}
	}
	g := c.Graph
	need(c.Model != "", "Model is empty")
	switch {
	case g.Masked != nil:
		need(g.KVType == kvFloat32 || g.KVType == kvFloat16, "Graph.KVType is %q, want float32 or float16", g.KVType)
		need(c.Device.Provider == CPU, "Device.Provider is %q: a graph of another exporter runs on the CPU only", c.Device.Provider)
		need(c.Weights == nil, "Weights are set for a graph of another exporter")
	case g.Hybrid == nil:
		need(g.KVType == "float32", "Graph.KVType is %q, want float32", g.KVType)
	default:
		need(g.KVType == "int8", "Graph.KVType is %q, want int8 in a hybrid graph", g.KVType)
		need(c.Device.Provider == CPU, "Device.Provider is %q: a hybrid graph runs on the CPU only", c.Device.Provider)
	}
	need(g.Layers > 0 && g.KVHeads > 0 && g.HeadSize > 0 && g.VocabSize > 0,
		"Graph has %d layers, %d heads of keys of %d values, %d tokens", g.Layers, g.KVHeads, g.HeadSize, g.VocabSize)
	need(c.Device.Provider == CPU || c.Device.Provider == CUDA, "Device.Provider is %q", c.Device.Provider)
	need(c.Slots >= 1 && c.Slots <= maxSlots, "Slots is %d, want 1 to %d", c.Slots, maxSlots)
	need(c.MaxLength >= 1 && c.MaxLength <= c.ContextLength,
		"MaxLength is %d, want 1 to ContextLength, %d", c.MaxLength, c.ContextLength)
	need(c.PrefixBytes >= 0, "PrefixBytes is %d, below 0", c.PrefixBytes)
	need(c.PrefixTokens >= 0, "PrefixTokens is %d, below 0", c.PrefixTokens)
	need(c.Weights == nil || c.Device.Provider == CPU && c.Weights.model == c.Model,
		"Weights are of another model than %s, or the device is %q", c.Model, c.Device.Provider)
	need(c.MaxChunk >= 1 && c.MaxChunk <= c.MaxLength, "MaxChunk is %d, want 1 to MaxLength, %d", c.MaxChunk, c.MaxLength)
	if errs != nil {
		return fmt.Errorf("ort.Config: %w", errs)
	}
	return nil
}

// maxSlots bounds the bindings that a session keeps, one set per batch size and per slot.
const maxSlots = 4096

// Session is a model on a device. It is not safe for concurrent use.
type Session struct {
	environment *Environment
	config      Config
	limits      runner.Limits // once memory has been reserved
	session     *onnx.DynamicAdvancedSession
	names       *names
	executor    executor // which has no use for cache, buffers and lanes; nil: the graph takes decode rows or a chunk
	own         *Weights // of this session alone; nil: config's, or none
	fused       bool     // the executor came with a graph that runs on package kernels
	cache       *cache[float32]
	prefixes    prefixes
	buffers     *buffers
	tensors     tensors
	decode      []*lane      // by the number of rows; made when first needed
	chunk       []*lane      // by slot; made when first needed
	chunkIDs    []onnx.Value // [1, S] by S; made when first needed
	chunks      [1][]float32 // memory of Logits.Chunks, where an executor has none of its own
	hidden      *hidden      // nil: the graph gives no hidden states, and noHidden says why
	noHidden    error
	states      *stateBuffer // nil: none
	stateLanes  []*lane      // as chunk, with hidden states; made when first needed
	released    error        // of ReleaseSlot, which returns none
	closed      bool
}

var _ runner.Session = (*Session)(nil)

// Limits says what the session can hold.
func (s *Session) Limits() runner.Limits { return s.limits }

// findLimits looks at what has been reserved.
func (s *Session) findLimits() (limits runner.Limits) {
	limits = runner.Limits{
		Slots:     s.config.Slots,
		MaxLength: s.config.MaxLength,
		MaxChunk:  s.config.MaxChunk,
		VocabSize: s.config.Graph.VocabSize,
	}
	if s.executor != nil {
		s.executor.limit(&limits)
	}
	if s.cache != nil {
		limits.PositionBytes = positionBytes(s.cache)
	}
	if s.hidden != nil {
		limits.HiddenSize = s.hidden.size
	}
	if s.prefixes.blocks > 0 {
		limits.Blocks, limits.BlockBytes = s.prefixes.blocks, s.prefixes.bytes
	}
	return limits
}

// Kernels names what computes most of a step: a variant of package kernels, or ONNX Runtime.
func (s *Session) Kernels() string {
	if !s.fused {
		return "onnxruntime"
	}
	return cmp.Or(s.config.variant, kernels.Best()).String()
}

// Step runs the decode rows and the chunks.
func (s *Session) Step(step runner.Step) (runner.Logits, error) {
	if s.closed {
		return runner.Logits{}, misuse(ErrClosed, "running a step")
	}
	// Outside the limits the kernels would write past the end of the buffers.
	if err := step.Validate(s.limits); err != nil {
		return runner.Logits{}, fmt.Errorf("ort: %w", err)
	}
	var logits runner.Logits
	var err error
	if s.executor != nil {
		logits, err = s.executor.step(step)
	} else {
		logits, err = s.run(step)
	}
	if err != nil {
		return runner.Logits{}, fmt.Errorf("running %d decode rows and %d chunks: %w", len(step.Decode), len(step.Chunks), err)
	}
	return logits, nil
}

// run runs the decode rows, then the chunk.
func (s *Session) run(step runner.Step) (logits runner.Logits, err error) {
	if rows := len(step.Decode); rows > 0 {
		if err := s.runDecode(step.Decode); err != nil {
			return runner.Logits{}, fmt.Errorf("decoding: %w", err)
		}
		logits.Decode = s.buffers.decodeLogits[:rows]
	}
	for i := range step.Chunks { // one at most
		chunk := &step.Chunks[i]
		if err := s.runChunk(chunk); err != nil {
			return runner.Logits{}, fmt.Errorf("%d tokens of a prompt in slot %d: %w", len(chunk.Tokens), chunk.Slot, err)
		}
		rows := s.buffers.chunkRows[:s.wantRows(chunk)]
		if chunk.Hidden {
			logits.Hidden = s.states.one(s.states.of(0, len(chunk.Tokens)))
		}
		logits.Chunks = s.chunks[:1]
		logits.Chunks[0] = nil
		if chunk.Rows {
			logits.Rows = rows
		}
		if chunk.Logits {
			logits.Chunks[0] = rows[len(rows)-1]
		}
	}
	return logits, nil
}

// CopySlot copies the first length positions of a slot.
func (s *Session) CopySlot(dst, src, length int) error {
	if s.closed {
		return misuse(ErrClosed, "copying a slot")
	}
	slots := s.config.Slots
	if dst < 0 || dst >= slots || src < 0 || src >= slots || length < 0 || length > s.config.MaxLength {
		return fmt.Errorf("ort: copying %d positions of slot %d to slot %d: out of range", length, src, dst)
	}
	switch {
	case dst == src:
	case s.executor != nil:
		s.executor.copySlot(dst, src, length)
	default:
		s.cache.copySlot(dst, src, length)
	}
	return nil
}

// ReleaseSlot gives a slot's memory back to the system.
func (s *Session) ReleaseSlot(slot int) {
	if s.closed {
		_ = misuse(ErrClosed, "releasing a slot")
		return
	}
	if slot < 0 || slot >= s.config.Slots {
		_ = misuse(fmt.Errorf("there are %d", s.config.Slots), fmt.Sprintf("releasing slot %d", slot))
		return
	}
	if err := s.discardSlot(slot); err != nil && s.released == nil {
		s.released = fmt.Errorf("releasing slot %d: %w", slot, err) // the memory is only kept longer
	}
}

// discardSlot gives a slot's memory back.
func (s *Session) discardSlot(slot int) error {
	if s.executor != nil {
		return s.executor.release(slot)
	}
	return s.cache.release(slot)
}

// SaveBlocks copies positions of a slot into the prefix store.
func (s *Session) SaveBlocks(slot, past int, blocks []int) error {
	if s.closed {
		return misuse(ErrClosed, "saving blocks")
	}
	if err := s.checkBlocks(slot, past, len(blocks)*runner.BlockSize, blocks); err != nil {
		return err
	}
	if s.executor != nil {
		return s.executor.save(slot, past, blocks)
	}
	s.prefixes.exact.save(slot, past, blocks)
	return nil
}

// LoadBlocks copies positions that blocks of the prefix store hold into a slot.
func (s *Session) LoadBlocks(slot int, blocks []int, length int) error {
	if s.closed {
		return misuse(ErrClosed, "loading blocks")
	}
	if err := s.checkBlocks(slot, 0, length, blocks); err != nil {
		return err
	}
	if s.executor != nil {
		s.executor.load(slot, blocks, length)
		return nil
	}
	s.prefixes.exact.load(slot, blocks, length)
	return nil
}

// checkBlocks refuses what lies outside the slots or the store.
func (s *Session) checkBlocks(slot, past, length int, blocks []int) error {
	if s.prefixes.blocks == 0 {
		return errors.New("ort: there is no prefix store")
	}
	if slot < 0 || slot >= s.config.Slots || past < 0 || past > s.config.MaxLength ||
		length < 0 || length > s.config.MaxLength-past || (length+runner.BlockSize-1)/runner.BlockSize != len(blocks) {
		return fmt.Errorf("ort: %d positions of %d blocks at position %d of slot %d: out of range",
			length, len(blocks), past, slot)
	}
	for _, id := range blocks {
		if id < 0 || id >= s.prefixes.blocks {
			return fmt.Errorf("ort: there are %d blocks in the prefix store, no number %d", s.prefixes.blocks, id)
		}
	}
	return nil
}

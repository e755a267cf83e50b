package inferencetest

import (
	"fmt"
	"math"

	"github.com/sluiceml/sluice/inference/runner"
)

// ToyConfig sets up a Toy.
type ToyConfig struct {
	// Limits of the session; a field that is 0 gets its default: 4 slots of 64 positions, chunks of 8, 256 tokens,
	// no prefix store.
	Limits runner.Limits
	// Script, if set, may choose the token that is by far the most likely after the given history (prompt and output).
	// Where it returns false the hash decides, as without a script. It must not keep the history.
	Script func(history []uint32) (token uint32, ok bool)
	// BeforeStep, if set, sees every step before it runs. An error makes the step fail. It must not keep the step.
	BeforeStep func(step runner.Step) error
}

// Toy is a session whose keys and values are integers: each position of a slot holds a hash of its token and of the
// position, and the logits and hidden states are hashes of all that the slot holds up to the sequence's length. So a token
// that was computed from another sequence's, from stale or from missing positions is a different one, and a sequence gives
// the same tokens in whatever company.
//
// Toy is as strict as the contract of runner.Session allows: whatever breaks it panics, and memory that the contract
// declares undefined is filled with garbage.
type Toy struct {
	cfg    ToyConfig
	slots  []toySlot
	blocks []toySlot   // each of BlockSize positions
	rows   [][]float32 // as many as a step can ask for
	used   int         // of which by the step that runs
	states []float32   // hidden states of a step, if the limits say that there are some
	out    runner.Logits
	steps  int
	failed bool
	closed bool
}

type toySlot struct {
	held    int      // positions that are valid
	drafted int      // of which may be forgotten: those of the last step's draft
	keys    []uint64 // hash of token and position
	tokens  []uint32 // for Script
}

// Sessions must be what the name says.
var _ runner.Session = (*Toy)(nil)

// NewToy makes a toy session.
func NewToy(cfg ToyConfig) *Toy {
	cfg.Limits = withToyDefaults(cfg.Limits)
	t := &Toy{cfg: cfg, slots: make([]toySlot, cfg.Limits.Slots)}
	for i := range t.slots {
		t.slots[i].keys = make([]uint64, cfg.Limits.MaxLength)
		t.slots[i].tokens = make([]uint32, cfg.Limits.MaxLength)
		t.slots[i].spoil(0)
	}
	t.blocks = make([]toySlot, cfg.Limits.Blocks)
	for i := range t.blocks {
		t.blocks[i].keys = make([]uint64, runner.BlockSize)
		t.blocks[i].tokens = make([]uint32, runner.BlockSize)
	}
	t.rows = make([][]float32, cfg.Limits.Slots+runner.MaxDrafts+runner.MaxRows)
	for i := range t.rows {
		t.rows[i] = make([]float32, cfg.Limits.VocabSize)
	}
	t.states = make([]float32, cfg.Limits.MaxChunk*cfg.Limits.HiddenSize)
	return t
}

// toyBlockBytes is what a block is said to cost.
const toyBlockBytes = 8 * runner.BlockSize

func withToyDefaults(l runner.Limits) runner.Limits {
	defaults := []struct {
		field *int
		value int
	}{{&l.Slots, 4}, {&l.MaxLength, 64}, {&l.MaxChunk, 8}, {&l.VocabSize, 256}}
	for _, d := range defaults {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if l.Blocks > 0 {
		l.BlockBytes = toyBlockBytes
	}
	return l
}

// Limits implements runner.Session.
func (t *Toy) Limits() runner.Limits { return t.cfg.Limits }

// Steps is the number of steps that have run.
func (t *Toy) Steps() int { return t.steps }

// Held is the number of positions that a slot holds.
func (t *Toy) Held(slot int) int { return t.slots[slot].held }

// Step implements runner.Session.
func (t *Toy) Step(step runner.Step) (runner.Logits, error) {
	t.mustBeOpen("Step")
	if err := step.Validate(t.cfg.Limits); err != nil {
		panic(err)
	}
	for i, r := range step.Decode {
		s := &t.slots[r.Slot]
		if r.Past <= s.held && (r.Past >= s.held-s.drafted || t.cfg.Limits.Uniform) {
			s.held = r.Past // what was not accepted is forgotten
		}
		if s.drafted = len(r.Draft); r.Past != s.held || r.Past == 0 {
			panic(fmt.Sprintf("toy: decode row %d says past %d, its slot holds %d", i, r.Past, s.held))
		}
	}
	for _, c := range step.Chunks {
		if s := &t.slots[c.Slot]; c.Past < s.held && t.cfg.Limits.Uniform {
			s.held = c.Past
		}
		if c.Past != 0 && c.Past != t.slots[c.Slot].held {
			panic(fmt.Sprintf("toy: chunk says past %d, its slot %d holds %d", c.Past, c.Slot, t.slots[c.Slot].held))
		}
	}
	if t.cfg.BeforeStep != nil {
		if err := t.cfg.BeforeStep(step); err != nil {
			t.failed = true
			return runner.Logits{}, err
		}
	}
	t.steps++
	return t.run(step), nil
}

func (t *Toy) run(step runner.Step) runner.Logits {
	for _, row := range t.rows { // the last step's logits hold no longer
		row[0], row[len(row)-1] = float32(math.NaN()), float32(math.NaN())
	}
	for i := range t.states {
		t.states[i] = float32(math.NaN())
	}
	out, states := &t.out, t.states
	out.Hidden = out.Hidden[:0]
	t.used, out.Decode, out.Draft, out.Chunks, out.Rows = 0, out.Decode[:0], out.Draft[:0], out.Chunks[:0], out.Rows[:0]
	for _, r := range step.Decode {
		s := &t.slots[r.Slot]
		s.write(r.Past, r.Token)
		out.Decode = append(out.Decode, t.logits(s))
		for n, id := range r.Draft {
			s.write(r.Past+1+n, id)
			out.Draft = append(out.Draft, t.logits(s))
		}
	}
	for _, c := range step.Chunks {
		s := &t.slots[c.Slot]
		s.drafted = 0
		for i, id := range c.Tokens {
			s.write(c.Past+i, id)
			if c.Rows {
				out.Rows = append(out.Rows, t.logits(s))
			}
			if n := t.cfg.Limits.HiddenSize; c.Hidden {
				toyHidden(states[i*n:(i+1)*n], s)
			}
		}
		if n := len(c.Tokens) * t.cfg.Limits.HiddenSize; c.Hidden {
			out.Hidden = append(out.Hidden, states[:n:n])
			states = states[n:]
		}
		var last []float32
		if c.Logits {
			last = t.logits(s)
		}
		out.Chunks = append(out.Chunks, last)
	}
	return *out
}

// CopySlot implements runner.Session. What dst holds beyond length becomes garbage.
func (t *Toy) CopySlot(dst, src, length int) error {
	t.mustBeOpen("CopySlot")
	if dst == src || length < 1 || length > t.slots[src].held {
		panic(fmt.Sprintf("toy: copy of %d positions from slot %d, which holds %d, to slot %d",
			length, src, t.slots[src].held, dst))
	}
	d, s := &t.slots[dst], &t.slots[src]
	d.spoil(length)
	copy(d.keys[:length], s.keys)
	copy(d.tokens[:length], s.tokens)
	d.held, d.drafted = length, 0
	return nil
}

// ReleaseSlot implements runner.Session. What the slot held becomes garbage.
func (t *Toy) ReleaseSlot(slot int) {
	t.mustBeOpen("ReleaseSlot")
	t.slots[slot].spoil(0)
}

// SaveBlocks implements runner.Session.
func (t *Toy) SaveBlocks(slot, past int, blocks []int) error {
	t.mustBeOpen("SaveBlocks")
	s := &t.slots[slot]
	if past < 0 || past+len(blocks)*runner.BlockSize > s.held {
		panic(fmt.Sprintf("toy: save of %d blocks from position %d of slot %d, which holds %d", len(blocks), past, slot, s.held))
	}
	for i, id := range blocks {
		b, from := &t.blocks[id], past+i*runner.BlockSize
		b.held = runner.BlockSize
		copy(b.keys, s.keys[from:])
		copy(b.tokens, s.tokens[from:])
	}
	return nil
}

// LoadBlocks implements runner.Session. What the slot holds beyond length becomes garbage.
func (t *Toy) LoadBlocks(slot int, blocks []int, length int) error {
	t.mustBeOpen("LoadBlocks")
	if length < 1 || (length+runner.BlockSize-1)/runner.BlockSize != len(blocks) {
		panic(fmt.Sprintf("toy: load of %d positions from %d blocks", length, len(blocks)))
	}
	s := &t.slots[slot]
	s.spoil(0)
	for i, id := range blocks {
		b, from := &t.blocks[id], i*runner.BlockSize
		if b.held == 0 {
			panic(fmt.Sprintf("toy: load of block %d, which nothing was saved in", id))
		}
		copy(s.keys[from:], b.keys)
		copy(s.tokens[from:], b.tokens)
	}
	s.held = length
	s.spoil(length)
	return nil
}

// Close implements runner.Session.
func (t *Toy) Close() error {
	if t.closed {
		panic("toy: Close was called twice")
	}
	t.closed = true
	return nil
}

func (t *Toy) mustBeOpen(what string) {
	if t.closed {
		panic("toy: " + what + " after Close")
	}
	if t.failed {
		panic("toy: " + what + " after a failed Step")
	}
}

// write appends a token to the slot at a position; what was held from there on is dropped.
func (s *toySlot) write(position int, id uint32) {
	s.keys[position] = toyKey(id, position)
	s.tokens[position] = id
	s.held = position + 1
}

// spoil fills the slot with garbage from a position on.
func (s *toySlot) spoil(from int) {
	for i := from; i < len(s.keys); i++ {
		s.keys[i], s.tokens[i] = 0xDEADBEEF, math.MaxUint32
	}
	s.held = min(s.held, from)
}

// logits are those after what a slot holds.
func (t *Toy) logits(s *toySlot) []float32 {
	row := t.rows[t.used]
	t.used++
	var state uint64
	for _, k := range s.keys[:s.held] {
		state = mix(state ^ k)
	}
	for v := range row {
		row[v] = toyLogit(state, v)
	}
	if t.cfg.Script != nil {
		if id, ok := t.cfg.Script(s.tokens[:s.held]); ok {
			row[id] = 100
		}
	}
	return row
}

// toyHidden writes the hidden state after what a slot holds.
func toyHidden(state []float32, s *toySlot) {
	var h uint64
	for _, k := range s.keys[:s.held] {
		h = mix(h ^ k)
	}
	for i := range state {
		state[i] = toyLogit(^h, i)
	}
}

// ToyHidden is the hidden state of the last token of a prompt, computed without any slot.
func ToyHidden(size int, prompt []uint32) []float32 {
	s := toySlot{keys: make([]uint64, len(prompt)), tokens: make([]uint32, len(prompt))}
	for i, id := range prompt {
		s.write(i, id)
	}
	state := make([]float32, size)
	toyHidden(state, &s)
	return state
}

// ToyGreedy is what a Toy with the given config continues a prompt with when the most likely token is always taken:
// n tokens, computed without any slot.
func ToyGreedy(cfg ToyConfig, prompt []uint32, n int) []uint32 {
	cfg.Limits = withToyDefaults(cfg.Limits)
	history := append([]uint32(nil), prompt...)
	for range n {
		var state uint64
		for i, id := range history {
			state = mix(state ^ toyKey(id, i))
		}
		best := 0
		for v := range cfg.Limits.VocabSize {
			if toyLogit(state, v) > toyLogit(state, best) {
				best = v
			}
		}
		next := uint32(best)
		if cfg.Script != nil {
			if id, ok := cfg.Script(history); ok {
				next = id
			}
		}
		history = append(history, next)
	}
	return history[len(prompt):]
}

func toyKey(id uint32, position int) uint64 { return mix(uint64(id)<<32 | uint64(position)) }

// toyLogit is a multiple of 2^-20 in [-8, 8), exact in float32.
func toyLogit(state uint64, v int) float32 {
	return float32(mix(state+uint64(v)*0x9E3779B97F4A7C15)>>40)*0x1p-20 - 8
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
func mix(z uint64) uint64 {
	z += 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

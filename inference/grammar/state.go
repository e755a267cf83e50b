package grammar

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// config is one way in which a text so far can be read: a place in a rule or a terminal's state, and the stack of places
// to return to.
type config struct {
	at    *node     // in a rule; nil in a terminal
	term  *terminal // nil in a rule
	state int32     // of the terminal
	count int32     // characters of the terminal, or repetitions of the rule
	stack *frame
}

// frame is a place to return to. Frames are interned: the same stack is the same pointer.
type frame struct {
	serial uint64
	frameKey
}

type frameKey struct {
	ret   *node
	count int32 // of the rule that called
	below *frame
}

// state is all ways in which a text so far can be read. States are interned, and remember where bytes lead.
type state struct {
	configs []config // those that read a byte
	ends    bool     // the text may end
	first   byteSet  // the bytes that lead on
	next    []*state // by rank of the byte in first; nil: not known yet

	mask tokenSet // once it is known
	done bool     // mask is known
}

// machine interns frames and states.
type machine struct {
	frames map[frameKey]*frame
	states map[string]*state
	serial uint64
	memory int // about what is remembered, in bytes

	// Of the mask or the token under way.
	work int // steps
	from int // memory at its beginning

	// Of the closing under way.
	seen    []config
	more    map[config]struct{} // seen, once there are many
	next    int                 // of seen: what is closed next
	configs []config
	ends    bool
	key     []byte
}

// fewConfigs is up to how many configurations are looked through for one rather than looked up.
const fewConfigs = 16

func newMachine() *machine {
	m := &machine{}
	m.forget()
	return m
}

// forget drops what is remembered. States that are in use go on working.
func (m *machine) forget() {
	for _, s := range m.states {
		clear(s.next)
		s.mask, s.done = tokenSet{}, false
	}
	m.frames, m.states, m.memory = map[frameKey]*frame{}, map[string]*state{}, 0
}

// start begins a mask or a token, which is bounded.
func (m *machine) start() { m.work, m.from = 0, m.memory }

// exceeded says whether the mask or token under way takes too long, or too much memory.
func (m *machine) exceeded() bool { return m.work > maxStep || m.memory-m.from > maxRemembered }

func (m *machine) frame(k frameKey) *frame {
	if f := m.frames[k]; f != nil {
		return f
	}
	m.serial++
	f := &frame{serial: m.serial, frameKey: k}
	m.frames[k] = f
	m.memory += 100
	return f
}

// begin starts to collect a state.
func (m *machine) begin() {
	m.seen, m.configs, m.next, m.ends, m.more = m.seen[:0], m.configs[:0], 0, false, nil
}

// add adds a configuration, unless it is there.
func (m *machine) add(c config) {
	m.work += closingSteps
	if m.more != nil {
		if _, ok := m.more[c]; ok {
			return
		}
		m.more[c] = struct{}{}
	} else if slices.Contains(m.seen, c) {
		return
	}
	m.seen = append(m.seen, c)
	if m.more == nil && len(m.seen) > fewConfigs {
		m.more = make(map[config]struct{}, 4*fewConfigs)
		for _, c := range m.seen {
			m.more[c] = struct{}{}
		}
	}
}

// finish follows what takes no byte and returns the state that was collected.
func (m *machine) finish() (*state, error) {
	for ; m.next < len(m.seen); m.next++ {
		if len(m.seen) > maxConfigs || m.exceeded() {
			return nil, ErrAmbiguous
		}
		if c := m.seen[m.next]; c.term != nil {
			m.terminal(c)
		} else {
			m.place(c)
		}
	}
	return m.intern(), nil
}

// terminal closes a configuration in a terminal.
func (m *machine) terminal(c config) {
	t := c.term
	if t.dfa.firsts[c.state] != (byteSet{}) {
		m.configs = append(m.configs, c)
	}
	if t.dfa.accepts[c.state] {
		m.leave(c.stack)
	}
}

// place closes a configuration in a rule.
func (m *machine) place(c config) {
	n := c.at
	if len(n.edges) > 0 {
		m.configs = append(m.configs, c)
	}
	for _, to := range n.eps {
		m.add(config{at: to, count: c.count, stack: c.stack})
	}
	for i := range n.calls {
		call := &n.calls[i]
		below := c.stack
		if !call.ret.final {
			below = m.frame(frameKey{call.ret, c.count, c.stack})
		}
		if call.rule != nil {
			m.add(config{at: call.rule.start, stack: below})
		} else {
			m.add(config{term: call.term, stack: below})
		}
	}
	if l := n.loop; l != nil {
		if c.count >= l.min {
			m.leave(c.stack)
		}
		if l.max < 0 || c.count < l.max {
			count := c.count + 1
			if l.max < 0 {
				count = min(count, l.min)
			}
			m.add(config{at: l.body.start, stack: m.frame(frameKey{n, count, c.stack})})
		}
	}
	if n.accepts {
		m.leave(c.stack)
	}
}

// leave returns from a rule or a terminal.
func (m *machine) leave(to *frame) {
	if to == nil {
		m.ends = true
	} else {
		m.add(config{at: to.ret, count: to.count, stack: to.below})
	}
}

// identity tells a place from others.
func (c *config) identity() (kind byte, place uint64) {
	if c.term != nil {
		return 1, uint64(uint32(c.term.id))<<32 | uint64(uint32(c.state))
	}
	return 0, uint64(uint32(c.at.id))
}

func (c *config) serial() uint64 {
	if c.stack == nil {
		return 0
	}
	return c.stack.serial
}

func compareConfigs(a, b config) int {
	ka, pa := a.identity()
	kb, pb := b.identity()
	switch {
	case ka != kb:
		return int(ka) - int(kb)
	case pa != pb:
		return order(pa, pb)
	case a.count != b.count:
		return int(a.count) - int(b.count)
	}
	return order(a.serial(), b.serial())
}

func order(a, b uint64) int {
	if a < b {
		return -1
	} else if a > b {
		return 1
	}
	return 0
}

// intern returns the state that was collected.
func (m *machine) intern() *state {
	if len(m.configs) > 1 {
		slices.SortFunc(m.configs, compareConfigs)
	}
	key := m.key[:0]
	if m.ends {
		key = append(key, 1)
	}
	for i := range m.configs {
		c := &m.configs[i]
		kind, place := c.identity()
		key = append(key, kind)
		key = binary.LittleEndian.AppendUint64(key, place)
		key = binary.LittleEndian.AppendUint32(key, uint32(c.count))
		key = binary.LittleEndian.AppendUint64(key, c.serial())
	}
	m.key = key
	if old := m.states[string(key)]; old != nil {
		return old
	}
	s := &state{configs: slices.Clone(m.configs), ends: m.ends}
	for i := range s.configs {
		s.configs[i].addFirst(&s.first)
	}
	size := 0
	for _, w := range s.first {
		size += bits.OnesCount64(w)
	}
	s.next = make([]*state, size)
	m.states[string(key)] = s
	m.memory += 200 + 2*len(key) + 48*len(s.configs) + 8*size
	return s
}

// addFirst adds the bytes that a configuration reads.
func (c *config) addFirst(set *byteSet) {
	if c.term == nil {
		set.union(&c.at.first)
		return
	}
	t := c.term
	if !t.counts || !t.dfa.begins[c.state] && t.dfa.needs == nil {
		set.union(&t.dfa.firsts[c.state])
		return
	}
	for b := range 256 {
		if to := t.dfa.step(c.state, byte(b)); to != dead && c.takes(to) {
			set.add(byte(b))
		}
	}
}

// takes says whether a terminal's bounds let it go on to a state.
func (c *config) takes(to int32) bool {
	t := c.term
	switch {
	case !t.counts:
		return true
	case to == t.dfa.close:
		return c.count >= t.min
	}
	count := c.count + t.dfa.need(to)
	if t.dfa.counted(c.state, to) {
		count++
	}
	return t.max < 0 || count <= t.max
}

// rank is the index in next of a byte that first has.
func (s *state) rank(b byte) int {
	w := int(b >> 6)
	n := bits.OnesCount64(s.first[w] & (1<<(b&63) - 1))
	for i := range w {
		n += bits.OnesCount64(s.first[i])
	}
	return n
}

// step is the state behind a byte; nil if it may not come.
func (m *machine) step(s *state, b byte) (*state, error) {
	if !s.first.has(b) {
		return nil, nil //nolint:nilnil // no state is no fault
	}
	at := s.rank(b)
	if to := s.next[at]; to != nil {
		return to, nil
	}
	m.begin()
	for i := range s.configs {
		m.read(&s.configs[i], b)
	}
	to, err := m.finish()
	if err != nil {
		return nil, err
	}
	s.next[at] = to
	return to, nil
}

// read adds where a configuration gets to by a byte.
func (m *machine) read(c *config, b byte) {
	if c.term == nil {
		m.work += len(c.at.edges)
		for _, e := range c.at.edges {
			if e.lo <= b && b <= e.hi {
				m.add(config{at: e.to, count: c.count, stack: c.stack})
			}
		}
		return
	}
	t := c.term
	to := t.dfa.step(c.state, b)
	if to == dead || !c.takes(to) {
		return
	}
	count := c.count
	if t.counts && t.dfa.counted(c.state, to) {
		if count++; t.max < 0 {
			count = min(count, t.min)
		}
	}
	if t.counts && to == t.dfa.close {
		count = 0 // which does not matter any more
	}
	m.add(config{term: t, state: to, count: count, stack: c.stack})
}

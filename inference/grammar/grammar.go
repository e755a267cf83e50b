package grammar

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Grammar is a compiled constraint over a vocabulary. It is safe for concurrent use: the outputs that it constrains have a
// Matcher each and share what it remembers.
type Grammar struct {
	vocabulary *Vocabulary
	start      config
	source     int    // bytes of the constraint's text, places and automata
	own        []*dfa // its automata that no other grammar has

	tally tally

	mu      sync.Mutex
	machine *machine
	scratch []uint64
	path    []*state
	locals  int // bytes of what is known of its own automata's states

	toPrepare preparation
}

// newGrammar makes the grammar of the texts that a rule reads.
func newGrammar(v *Vocabulary, limit *budget, start *rule) (*Grammar, error) {
	b := &builder{terms: map[*terminal]bool{}, limit: limit}
	b.rule(start)
	if b.err != nil {
		return nil, b.err
	}
	if err := b.analyse(start); err != nil {
		return nil, err
	}
	g := &Grammar{
		vocabulary: v,
		start:      config{at: start.start},
		machine:    newMachine(),
		scratch:    make([]uint64, v.words()),
		path:       make([]*state, maxTokenBytes+1),
	}
	if _, err := g.NewMatcher(); err != nil {
		return nil, errorf("it allows more than %d things at once", maxConfigs)
	}
	g.count(b)
	for _, d := range g.own {
		if err := d.restricts(limit, v.terminals().name); err != nil {
			return nil, err
		}
	}
	g.toPrepare.terminals, g.toPrepare.left = b.automata(), warmNodes
	g.tally.held = g.machine.memory + g.locals
	for _, r := range b.rules { // done with
		r.body, r.nodes = nil, nil
	}
	if limit.err != nil {
		return nil, limit.err
	}
	return g, nil
}

// count finds out how much memory the grammar takes.
func (g *Grammar) count(b *builder) {
	for _, r := range b.rules {
		g.source += 300
		for _, n := range r.nodes {
			g.source += 180 + 24*(len(n.edges)+len(n.eps)+len(n.calls))
		}
	}
	for _, d := range b.automata() {
		if !d.shared {
			g.own = append(g.own, d)
			g.source += d.size()
		}
	}
}

// automata are those of all terminals that rules call, each once.
func (b *builder) automata() []*dfa {
	var list []*dfa
	seen := map[*dfa]bool{}
	for _, r := range b.rules {
		for _, n := range r.nodes {
			for _, c := range n.calls {
				if c.term != nil && !seen[c.term.dfa] {
					seen[c.term.dfa] = true
					list = append(list, c.term.dfa)
				}
			}
		}
	}
	return list
}

// local is what tokens do from a state of an automaton.
func (g *Grammar) local(d *dfa, state int32) *local {
	l, work, bytes := d.localOf(g.vocabulary, state)
	g.machine.work += min(work, maxStep/8) // one alone is never too much, whatever the vocabulary is
	g.learn(d, bytes)
	return l
}

// learn counts what was found of an automaton, and forgets everything if that has become too much. The caller holds mu.
func (g *Grammar) learn(d *dfa, bytes int) {
	if d.shared { // which the vocabulary keeps
		return
	}
	if g.locals += bytes; g.locals > maxKnown {
		for _, d := range g.own {
			d.forget()
		}
		g.locals = 0
	}
}

// tally is what a grammar remembers, and what that is counted in. mu may be taken while that of the grammar is held.
type tally struct {
	mu   sync.Mutex
	held int           // bytes
	in   *atomic.Int64 // a sum of the Size of grammars; nil: none
}

// Size is roughly how many bytes of memory the grammar takes now, including its cache, whose size is limited.
func (g *Grammar) Size() int {
	g.tally.mu.Lock()
	defer g.tally.mu.Unlock()
	return g.fixed() + g.tally.held
}

// fixed is the part of Size that never changes.
func (g *Grammar) fixed() int { return g.source + 8*len(g.scratch) + 8*len(g.path) }

// CountIn adds the grammar's Size to sum and keeps the sum up to date from then on, so that the owner of many grammars always
// knows how much memory they take. It also removes the grammar from the sum in which it was counted before. If sum is nil, the
// grammar is not counted any more.
func (g *Grammar) CountIn(sum *atomic.Int64) {
	t := &g.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	size := int64(g.fixed() + t.held)
	if t.in != nil {
		t.in.Add(-size)
	}
	if t.in = sum; sum != nil {
		sum.Add(size)
	}
}

// hold notes how many bytes are remembered now. The caller holds mu of the grammar.
func (t *tally) hold(bytes int) {
	if bytes == t.held { // which changes under that mu only
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.in != nil {
		t.in.Add(int64(bytes - t.held))
	}
	t.held = bytes
}

// MaskWords is how many words a mask has.
func (g *Grammar) MaskWords() int { return len(g.scratch) }

// preparation is what Prepare has still to do.
type preparation struct {
	mu        sync.Mutex
	terminals []*dfa
	state     int // of the first of them: the next one
	left      int // nodes that may be visited for it
}

// Prepare does in advance some of the work that the first masks of the grammar would otherwise have to do, and reports whether
// there is more. A call takes a few milliseconds at most, and all calls together some tenths of a second. It is optional, and
// the grammar can be used meanwhile.
func (g *Grammar) Prepare() (more bool) {
	p := &g.toPrepare
	p.mu.Lock()
	defer p.mu.Unlock()
	for until := p.left - prepareNodes; len(p.terminals) > 0; {
		if p.left <= 0 {
			p.terminals = nil
			break
		}
		if p.left < until {
			return true
		}
		d := p.terminals[0]
		if p.state == len(d.accepts) {
			p.terminals, p.state = p.terminals[1:], 0
			continue
		}
		_, work, bytes := d.localOf(g.vocabulary, int32(p.state))
		p.state++
		p.left -= 64 + work
		if g.prepared(d, bytes) > maxKnown/2 {
			p.left = 0
		}
	}
	return false
}

// prepared counts what Prepare has found of an automaton, and says how many bytes are known of all.
func (g *Grammar) prepared(d *dfa, bytes int) int {
	g.mu.Lock()
	defer g.end()
	g.learn(d, bytes)
	return g.locals
}

// Matcher follows one output. It is not safe for concurrent use.
type Matcher struct {
	grammar *Grammar
	at      *state
}

// NewMatcher makes a matcher for an output that is still empty.
func (g *Grammar) NewMatcher() (*Matcher, error) {
	g.begin()
	defer g.end()
	g.machine.begin()
	g.machine.add(g.start)
	at, err := g.machine.finish()
	if err != nil {
		return nil, err
	}
	return &Matcher{grammar: g, at: at}, nil
}

// begin begins a mask or a token. It forgets what is remembered if that has become too much.
func (g *Grammar) begin() {
	g.mu.Lock()
	if g.machine.memory > maxRemembered {
		g.machine.forget()
	}
	g.machine.start()
}

func (g *Grammar) end() {
	g.tally.hold(g.machine.memory + g.locals)
	g.mu.Unlock()
}

// Mask sets dst, a bit for each token id in words of 64 from the lowest, to the tokens that may come next. dst has a word
// for every 64 ids of the vocabulary. The error is ErrAmbiguous.
func (m *Matcher) Mask(dst []uint64) error {
	g := m.grammar
	clear(dst)
	g.begin()
	defer g.end()
	return g.allowed(m.at, dst[:len(g.scratch)])
}

// MayEnd says whether the text so far conforms to the constraint as it is.
func (m *Matcher) MayEnd() bool { return m.at.ends }

// MustEnd says whether nothing may follow the text so far.
func (m *Matcher) MustEnd() bool { return m.at.first == byteSet{} }

// Accept advances over a token. If the token is not allowed, it returns false and stays where it is. An end token is allowed
// where the text may end, and changes nothing. The error is ErrAmbiguous.
func (m *Matcher) Accept(id uint32) (bool, error) {
	g := m.grammar
	if slices.Contains(g.vocabulary.ends, id) {
		return m.at.ends, nil
	}
	if int64(id) >= int64(len(g.vocabulary.text)) || len(g.vocabulary.text[id]) == 0 {
		return false, nil
	}
	return m.AcceptBytes(g.vocabulary.text[id])
}

// AcceptBytes is Accept of a token of these bytes.
func (m *Matcher) AcceptBytes(text []byte) (bool, error) {
	g := m.grammar
	g.begin()
	defer g.end()
	at := m.at
	for _, b := range text {
		to, err := g.machine.step(at, b)
		if to == nil || err != nil {
			return false, err
		}
		at = to
	}
	m.at = at
	return true, nil
}

// Clone returns an independent matcher at the same place.
func (m *Matcher) Clone() *Matcher {
	c := *m
	return &c
}

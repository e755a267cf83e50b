package grammar

import (
	"slices"
	"sync"
)

// Grammar is a compiled constraint over a vocabulary. It is safe for concurrent use: the outputs that it constrains have a
// Matcher each and share what it remembers.
type Grammar struct {
	vocabulary *Vocabulary
	start      config
	source     int // bytes of the constraint's text and places

	mu      sync.Mutex
	machine *machine
	scratch []uint64
	path    []*state
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
		source:     150 * b.nodes,
		machine:    newMachine(),
		scratch:    make([]uint64, v.words()),
		path:       make([]*state, maxTokenBytes+1),
	}
	if _, err := g.NewMatcher(); err != nil {
		return nil, errorf("it allows more than %d things at once", maxConfigs)
	}
	g.warm(b)
	if limit.err != nil {
		return nil, limit.err
	}
	return g, nil
}

// warm prepares the terminals' states, from each start on, as far as its bound goes.
func (g *Grammar) warm(b *builder) {
	seen := map[*dfa]bool{}
	left := warmNodes
	for _, r := range b.rules {
		for _, n := range r.nodes {
			for _, c := range n.calls {
				if c.term == nil || seen[c.term.dfa] {
					continue
				}
				seen[c.term.dfa] = true
				d := c.term.dfa
				for s := int32(0); int(s) < len(d.accepts) && left > 0 && b.limit.poll(64) == nil; s++ {
					before := d.walked
					d.localOf(g.vocabulary, s)
					b.limit.poll(d.walked - before) //nolint:errcheck // the next one says so
					left -= 64 + d.walked - before
				}
			}
		}
	}
}

// Size is about how many bytes of memory the grammar takes, what it remembers not counted: that is bounded.
func (g *Grammar) Size() int { return g.source + 8*len(g.scratch) + 8*len(g.path) }

// MaskWords is how many words a mask has.
func (g *Grammar) MaskWords() int { return len(g.scratch) }

// Matcher follows one output. It is not safe for concurrent use.
type Matcher struct {
	grammar *Grammar
	at      *state
}

// NewMatcher makes a matcher of an output of which nothing is written.
func (g *Grammar) NewMatcher() (*Matcher, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tidy()
	g.machine.begin()
	g.machine.add(g.start)
	at, err := g.machine.finish()
	if err != nil {
		return nil, err
	}
	return &Matcher{grammar: g, at: at}, nil
}

// tidy forgets what is remembered if it has become too much.
func (g *Grammar) tidy() {
	if g.machine.memory > maxRemembered {
		g.machine.forget()
	}
}

// Mask sets dst, a bit for each token id in words of 64 from the lowest, to the tokens that may come next. dst has a word
// for every 64 ids of the vocabulary. The error is ErrAmbiguous.
func (m *Matcher) Mask(dst []uint64) error {
	g := m.grammar
	clear(dst)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tidy()
	return g.allowed(m.at, dst[:len(g.scratch)])
}

// MayEnd says whether the text so far may be all.
func (m *Matcher) MayEnd() bool { return m.at.ends }

// MustEnd says whether nothing may follow the text so far.
func (m *Matcher) MustEnd() bool { return m.at.first == byteSet{} }

// Accept goes on behind a token. It says false, and stays where it is, if the token may not come; an end token may come
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
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tidy()
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

// Clone is a matcher at the same place, which then goes its own way.
func (m *Matcher) Clone() *Matcher {
	c := *m
	return &c
}

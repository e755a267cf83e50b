package grammar

import (
	"math/bits"
	"slices"
)

// allowed adds to dst the tokens that may come in a state.
func (g *Grammar) allowed(s *state, dst []uint64) error {
	if !s.done {
		if err := g.find(s); err != nil {
			return err
		}
	}
	s.mask.addTo(dst)
	return nil
}

// find finds the mask of a state: what its places in rules allow, by a walk, and for each of its terminals what the
// terminal does.
func (g *Grammar) find(s *state) error {
	mask := g.scratch
	clear(mask)
	if s.ends {
		for _, id := range g.vocabulary.ends {
			mask[id>>6] |= 1 << (id & 63)
		}
	}
	rules := 0
	for i := range s.configs {
		c := &s.configs[i]
		if c.term == nil {
			rules++
			continue
		}
		if err := g.terminal(c, mask); err != nil {
			return err
		}
	}
	if rules > 0 {
		from := s
		if rules < len(s.configs) {
			g.machine.begin()
			for _, c := range s.configs {
				if c.term == nil {
					g.machine.configs = append(g.machine.configs, c)
				}
			}
			from = g.machine.intern()
		}
		if err := g.walk(from, mask); err != nil {
			return err
		}
	}
	s.mask, s.done = packed(mask), true
	g.machine.memory += s.mask.size()
	return nil
}

// packed is the set of a mask, which is copied.
func packed(mask []uint64) tokenSet {
	var list []uint32
	for w, x := range mask {
		for ; x != 0; x &= x - 1 {
			if len(list) == len(mask)/2 {
				return tokenSet{mask: append([]uint64(nil), mask...)}
			}
			list = append(list, uint32(w<<6+bits.TrailingZeros64(x)))
		}
	}
	return tokenSet{list: list}
}

// walk adds the tokens that lead from a state to another.
func (g *Grammar) walk(from *state, mask []uint64) error {
	v := g.vocabulary
	nodes := v.trie.nodes
	path := g.path
	path[0] = from
	for i := int32(0); int(i) < len(nodes); {
		g.machine.work++
		n := &nodes[i]
		at := path[n.depth]
		if !at.first.has(n.b) {
			i = n.skip
			continue
		}
		to := at.next[at.rank(n.b)]
		if to == nil {
			var err error
			if to, err = g.machine.step(at, n.b); err != nil {
				return err
			}
		}
		for id := n.token; id >= 0; id = v.trie.twin[id] {
			mask[id>>6] |= 1 << (id & 63)
		}
		path[n.depth+1] = to
		i++
	}
	return nil
}

// terminal adds the tokens that a configuration in a terminal allows.
func (g *Grammar) terminal(c *config, mask []uint64) error {
	t := c.term
	l := g.local(t.dfa, c.state)
	if g.machine.work += g.vocabulary.words() / 4; g.machine.exceeded() {
		return ErrAmbiguous
	}
	room := int32(1<<31 - 1)
	if t.counts && t.max >= 0 {
		room = t.max - c.count
	}
	if t.counts {
		l.addUpTo(mask, room)
	} else {
		l.inside.addTo(mask)
	}
	fits := func(x leaving) bool {
		if _, lacks := slices.BinarySearch(l.lacks, x.token); lacks {
			return false
		}
		return !t.counts || x.count <= room && (c.count >= t.min || c.count+x.count >= t.min)
	}
	for _, x := range l.leaving[:l.atClose] {
		if fits(x) {
			mask[x.token>>6] |= 1 << (x.token & 63)
		}
	}
	if len(l.rests) == 0 {
		return nil
	}
	g.machine.begin()
	g.machine.leave(c.stack)
	behind, err := g.machine.finish()
	if err != nil {
		return err
	}
	path := g.path
	path[0] = behind
	for i := int32(0); int(i) < len(l.rests); {
		g.machine.work++
		n := &l.rests[i]
		to, err := g.machine.step(path[n.depth], n.b)
		if err != nil {
			return err
		}
		if to == nil {
			i = n.skip
			continue
		}
		for _, x := range l.leaving[l.restHead[i].from:l.restHead[i].to] {
			if fits(x) {
				mask[x.token>>6] |= 1 << (x.token & 63)
			}
		}
		path[n.depth+1] = to
		i++
	}
	return nil
}

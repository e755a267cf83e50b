package grammar

import (
	"slices"
)

// restriction says of an automaton that it accepts what another accepts, but for some texts: the names of an object but for those
// that its schema names, of which nearly every schema has a set of its own. What tokens do is known of the other, which the
// vocabulary keeps. Of the restricted one it is the same, but for the few tokens that run into what is left out: only these
// are looked for.
type restriction struct {
	of   *dfa    // whose states that accept lead nowhere, so that a token leaves it at one place only
	like []int32 // by state: the one of the other that any text which leads here leads to
	same []bool  // by state: the other accepts no more from there
}

// maxBranches is how many bytes, on the average, may lead from one state that differs to another, or to where the other
// goes on alone. Beyond that, a walk through all tokens by the classes of their bytes is shorter.
const maxBranches = 4

// restricts makes an automaton a restriction of another if it is one, of which less than all has to be looked at. The error
// is that of the budget.
func (d *dfa) restricts(limit *budget, of *dfa) error {
	if d == of || d.shared || d.begins != nil || d.empty() || of.begins != nil || of.loops() || !of.follow.holds(&d.follow) {
		return nil
	}
	class, sample := jointClasses(d, of)
	r := &restriction{of: of, like: make([]int32, len(d.accepts)), same: make([]bool, len(d.accepts))}
	if related, err := r.relate(limit, d, sample); !related {
		return err
	}
	r.spread(d)
	bytes := make([]int, len(sample)) // of each class
	for _, c := range class {
		bytes[c]++
	}
	differ, branches := 0, 0
	for s, same := range r.same {
		if same {
			continue
		}
		differ++
		for c, b := range sample {
			to, other := d.step(int32(s), b), of.step(r.like[s], b)
			if to != dead && !r.same[to] || to == dead && other != dead && !of.accepts[other] {
				branches += bytes[c]
			}
		}
	}
	if err := limit.spend(len(sample) * differ); err != nil {
		return err
	}
	if branches <= maxBranches*differ {
		d.restriction = r
	}
	return nil
}

// relate finds for each state of a restriction the one of the other that it is like, and says whether there is one: there
// is none either where the budget is spent, whose error it returns. same is then whether they accept alike and go on by the
// same bytes.
func (r *restriction) relate(limit *budget, d *dfa, sample []byte) (bool, error) {
	for s := range r.like {
		r.like[s] = dead
	}
	r.like[0] = 0
	for queue := []int32{0}; len(queue) > 0; {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if err := limit.spend(len(sample)); err != nil {
			return false, err
		}
		if d.accepts[s] && !r.of.accepts[r.like[s]] {
			return false, nil
		}
		r.same[s] = d.accepts[s] == r.of.accepts[r.like[s]]
		for _, b := range sample {
			to, other := d.step(s, b), r.of.step(r.like[s], b)
			switch {
			case to == dead:
				r.same[s] = r.same[s] && other == dead
			case other == dead || r.like[to] != dead && r.like[to] != other:
				return false, nil
			case r.like[to] == dead:
				r.like[to] = other
				queue = append(queue, to)
			}
		}
	}
	return true, nil
}

// spread finds the states from which one that is not the same can be reached: they are not the same either.
func (r *restriction) spread(d *dfa) {
	into := d.sources()
	var queue []int32
	for s, same := range r.same {
		if !same {
			queue = append(queue, int32(s))
		}
	}
	for len(queue) > 0 {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, from := range into[s] {
			if r.same[from] {
				r.same[from] = false
				queue = append(queue, from)
			}
		}
	}
}

// loops says whether something leads on from a state that accepts.
func (d *dfa) loops() bool {
	for s, accepts := range d.accepts {
		if accepts && d.firsts[s] != (byteSet{}) {
			return true
		}
	}
	return false
}

// restricted is localOf of an automaton that is a restriction, by what is known of the other.
func (d *dfa) restricted(v *Vocabulary, state int32) (l *local, work, bytes int) {
	r := d.restriction
	all, work, _ := r.of.localOf(v, r.like[state])
	if r.same[state] {
		return all, work, 0
	}
	w := &lacking{dfa: d, vocabulary: v}
	w.below(-1, state)
	work += w.work
	l = &local{}
	*l = *all
	l.lacks = w.tokens
	slices.Sort(l.lacks)
	l.inside = all.inside.without(l.lacks, v.words())
	bytes = 300 + 4*len(l.lacks)
	if l.inside.mask != nil && &l.inside.mask[0] != &all.inside.mask[0] {
		bytes += l.inside.size()
	}
	return l, work, bytes
}

// lacking is a walk along what a restriction leaves out.
type lacking struct {
	dfa        *dfa
	vocabulary *Vocabulary
	tokens     []uint32 // that the other has, and the restriction has not
	work       int
}

// below looks at the tokens below a node of the vocabulary's trie, -1 for all, which leads to a state that differs.
func (w *lacking) below(node, state int32) {
	d, r, nodes := w.dfa, w.dfa.restriction, w.vocabulary.trie.nodes
	end := int32(len(nodes))
	if node >= 0 {
		end = nodes[node].skip
	}
	for i := node + 1; i < end; i = nodes[i].skip {
		w.work++
		b := nodes[i].b
		other := r.of.step(r.like[state], b)
		if other == dead {
			continue
		}
		switch to := d.step(state, b); {
		case to == dead:
			w.all(i, r.of.accepts[other])
		case !r.same[to]:
			w.below(i, to)
		}
	}
}

// all adds the tokens of a node and below. Where the other has accepted, those do not matter that go on with what does not
// follow.
func (w *lacking) all(node int32, accepted bool) {
	nodes := w.vocabulary.trie.nodes
	w.put(nodes[node].token)
	for i := node + 1; i < nodes[node].skip; {
		w.work++
		if n := &nodes[i]; accepted && n.depth == nodes[node].depth+1 && !w.dfa.follow.has(n.b) {
			i = n.skip
			continue
		}
		w.put(nodes[i].token)
		i++
	}
}

// put adds a token and those of the same bytes.
func (w *lacking) put(token int32) {
	for id := token; id >= 0; id = w.vocabulary.trie.twin[id] {
		w.tokens = append(w.tokens, uint32(id))
	}
}

// without is a set without some tokens, in order. Where it has none of them it is the set itself.
func (s *tokenSet) without(tokens []uint32, words int) tokenSet {
	has := func(id uint32) bool {
		if s.mask != nil {
			return s.mask[id>>6]>>(id&63)&1 != 0
		}
		return slices.Contains(s.list, id)
	}
	if !slices.ContainsFunc(tokens, has) {
		return *s
	}
	mask := make([]uint64, words)
	s.addTo(mask)
	for _, id := range tokens {
		mask[id>>6] &^= 1 << (id & 63)
	}
	return packed(mask)
}

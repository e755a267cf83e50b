package grammar

// analyse finds out what the recogniser needs to know of built rules: which may be empty, which bytes they may begin with
// and be followed by. Places from which no end can be reached go, so that whatever a mask allows can be completed.
func (b *builder) analyse(start *rule) error {
	b.nullables()
	if err := b.leftRecursion(); err != nil {
		return err
	}
	b.nullables()
	b.prune()
	if !start.productive {
		return errorf("no text conforms to it")
	}
	for _, r := range b.rules {
		for _, n := range r.nodes {
			n.final = isFinal(n, 0)
			for _, e := range n.edges {
				n.first.addRange(e.lo, e.hi)
			}
		}
	}
	b.follows()
	id := int32(0)
	for _, r := range b.rules {
		for _, n := range r.nodes {
			n.id = id
			id++
		}
	}
	return nil
}

// isFinal says whether a node does nothing but end its rule.
func isFinal(n *node, depth int) bool {
	if len(n.edges) > 0 || len(n.calls) > 0 || n.loop != nil || depth > 8 {
		return false
	}
	if len(n.eps) == 1 && !n.accepts {
		return isFinal(n.eps[0], depth+1)
	}
	return n.accepts && len(n.eps) == 0
}

func (c *call) nullable() bool {
	if c.rule != nil {
		return c.rule.nullable
	}
	return !c.term.dfa.empty() && c.term.dfa.accepts[0] && c.term.min == 0
}

func (c *call) productive() bool {
	if c.rule != nil {
		return c.rule.productive
	}
	return !c.term.dfa.empty()
}

// nullables finds the rules that may be empty, and the places from which their ends are reached without a byte.
func (b *builder) nullables() {
	for changed := true; changed; {
		changed = false
		for _, r := range b.rules {
			for i := len(r.nodes) - 1; i >= 0; i-- { // ends come last, mostly
				if n := r.nodes[i]; !n.ends && n.endsHere() {
					n.ends, changed = true, true
				}
			}
			r.nullable = r.start.ends
		}
	}
	for _, r := range b.rules {
		for _, n := range r.nodes {
			if n.loop != nil && n.loop.body.nullable {
				n.loop.min = 0
			}
		}
	}
}

// endsHere says whether a rule's end is reached from a node without a byte, by what is known of the nodes behind it.
func (n *node) endsHere() bool {
	if n.accepts || n.loop != nil && (n.loop.min == 0 || n.loop.body.nullable) {
		return true
	}
	for _, to := range n.eps {
		if to.ends {
			return true
		}
	}
	for i := range n.calls {
		if n.calls[i].ret.ends && n.calls[i].nullable() {
			return true
		}
	}
	return false
}

// prune takes away the places and calls from which no end can be reached.
func (b *builder) prune() {
	for changed := true; changed; {
		changed = false
		for _, r := range b.rules {
			for i := len(r.nodes) - 1; i >= 0; i-- { // ends come last, mostly
				if n := r.nodes[i]; !n.alive && n.canEnd() {
					n.alive, changed = true, true
				}
			}
			if !r.productive && r.start.alive {
				r.productive, changed = true, true
			}
		}
	}
	for _, r := range b.rules {
		for _, n := range r.nodes {
			n.edges = keepIf(n.edges, func(e edge) bool { return e.to.alive })
			n.eps = keepIf(n.eps, func(to *node) bool { return to.alive })
			n.calls = keepIf(n.calls, func(c call) bool { return c.ret.alive && c.productive() })
			if n.loop != nil && !n.loop.body.productive {
				n.loop.max = 0 // and min is 0, or the node would not be alive
			}
		}
	}
}

func (n *node) canEnd() bool {
	if n.accepts || n.loop != nil && (n.loop.min == 0 || n.loop.body.productive) {
		return true
	}
	for _, e := range n.edges {
		if e.to.alive {
			return true
		}
	}
	for _, to := range n.eps {
		if to.alive {
			return true
		}
	}
	for _, c := range n.calls {
		if c.ret.alive && c.productive() {
			return true
		}
	}
	return false
}

func keepIf[T any](list []T, keep func(T) bool) []T {
	out := list[:0]
	for _, x := range list {
		if keep(x) {
			out = append(out, x)
		}
	}
	return out
}

// follows finds the bytes that may follow each terminal of this grammar.
func (b *builder) follows() {
	firsts := map[*node]byteSet{}
	for changed := true; changed; {
		changed = false
		for _, r := range b.rules {
			for i := len(r.nodes) - 1; i >= 0; i-- {
				n := r.nodes[i]
				was := firsts[n]
				set := was
				set.union(&n.first)
				for _, to := range n.eps {
					f := firsts[to]
					set.union(&f)
				}
				if n.loop != nil {
					set.union(&n.loop.body.first)
				}
				for _, c := range n.calls {
					c.addFirst(&set)
					if c.nullable() {
						f := firsts[c.ret]
						set.union(&f)
					}
				}
				if set != was {
					firsts[n], changed = set, true
				}
			}
			if f := firsts[r.start]; f != r.first {
				r.first, changed = f, true
			}
		}
	}
	terms := map[*dfa]*byteSet{}
	for changed := true; changed; {
		changed = false
		for _, r := range b.rules {
			for _, n := range r.nodes {
				behind := func(at *node) byteSet {
					set := firsts[at]
					if at.ends {
						set.union(&r.follow)
					}
					return set
				}
				for _, c := range n.calls {
					set := behind(c.ret)
					if c.rule != nil {
						was := c.rule.follow
						c.rule.follow.union(&set)
						changed = changed || c.rule.follow != was
						continue
					}
					if terms[c.term.dfa] == nil {
						terms[c.term.dfa] = &byteSet{}
					}
					terms[c.term.dfa].union(&set)
				}
				if n.loop != nil {
					was := n.loop.body.follow
					n.loop.body.follow.union(&r.follow)
					n.loop.body.follow.union(&n.loop.body.first)
					changed = changed || n.loop.body.follow != was
				}
			}
		}
	}
	for d, set := range terms {
		if !d.shared {
			d.follow = *set
		}
	}
}

// addFirst adds the bytes that what is called may begin with.
func (c *call) addFirst(set *byteSet) {
	if c.rule != nil {
		set.union(&c.rule.first)
	} else if !c.term.dfa.empty() {
		set.union(&c.term.dfa.firsts[0])
	}
}

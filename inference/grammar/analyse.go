package grammar

import "slices"

// analyse finds out what the recogniser needs to know of built rules: which may be empty, which bytes they may begin with
// and be followed by. Places from which no end can be reached go, so that whatever a mask allows can be completed.
func (b *builder) analyse(start *rule) error {
	b.nullables()
	if err := b.leftRecursion(); err != nil {
		return err
	}
	b.nullables()
	b.prune()
	if b.err != nil {
		return b.err
	}
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
	if b.err != nil {
		return b.err
	}
	id := int32(0)
	for _, r := range b.rules {
		for _, n := range r.nodes {
			n.id = id
			id++
		}
	}
	return nil
}

// settle visits every rule until nothing changes. A visit names the rules that have to be visited again.
func (b *builder) settle(visit func(r *rule, again func(*rule))) {
	waits := make(map[*rule]bool, len(b.rules))
	queue := make([]*rule, 0, len(b.rules))
	again := func(r *rule) {
		if !waits[r] {
			waits[r] = true
			queue = append(queue, r)
		}
	}
	for _, r := range slices.Backward(b.rules) { // what is called comes later, mostly
		again(r)
	}
	for at := 0; at < len(queue) && b.err == nil; at++ {
		r := queue[at]
		waits[r] = false
		if b.pass(r) {
			visit(r, again)
		}
	}
}

// pass counts a pass through a rule's places; false: there were too many.
func (b *builder) pass(r *rule) bool {
	if r.size == 0 {
		for _, n := range r.nodes {
			r.size += 1 + len(n.edges) + len(n.eps) + len(n.calls)
		}
	}
	if b.work += r.size; b.work > maxAnalysis {
		b.fail(errorf("the constraint takes more than %d steps to analyse", maxAnalysis))
	}
	b.fail(b.limit.poll(r.size))
	return b.err == nil
}

// callers is the rules that call each rule.
func (b *builder) callers() map[*rule][]*rule {
	by := make(map[*rule][]*rule, len(b.rules))
	for _, r := range b.rules {
		for _, n := range r.nodes {
			for _, c := range n.calls {
				if c.rule != nil {
					by[c.rule] = append(by[c.rule], r)
				}
			}
			if n.loop != nil {
				by[n.loop.body] = append(by[n.loop.body], r)
			}
		}
	}
	return by
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

// propagate gives places a property that they get from those behind them, and rules from their places. mark says whether a
// place gets it now, and done whether a rule does, after which its callers are looked at again.
func (b *builder) propagate(mark func(*node) bool, done func(*rule) bool) {
	callers := b.callers()
	b.settle(func(r *rule, again func(*rule)) {
		for changed := true; changed && b.pass(r); {
			changed = false
			for _, n := range slices.Backward(r.nodes) { // ends come last, mostly
				if mark(n) {
					changed = true
				}
			}
		}
		if done(r) {
			for _, c := range callers[r] {
				again(c)
			}
		}
	})
}

// nullables finds the rules that may be empty, and the places from which their ends are reached without a byte.
func (b *builder) nullables() {
	b.propagate(func(n *node) bool {
		if n.ends || !n.endsHere() {
			return false
		}
		n.ends = true
		return true
	}, func(r *rule) bool {
		if r.nullable || !r.start.ends {
			return false
		}
		r.nullable = true
		return true
	})
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
	b.propagate(func(n *node) bool {
		if n.alive || !n.canEnd() {
			return false
		}
		n.alive = true
		return true
	}, func(r *rule) bool {
		if r.productive || !r.start.alive {
			return false
		}
		r.productive = true
		return true
	})
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
	b.firsts()
	terms := map[*dfa]*byteSet{}
	b.settle(func(r *rule, again func(*rule)) {
		spread := func(to *rule, set byteSet) {
			was := to.follow
			if to.follow.union(&set); to.follow != was {
				again(to)
			}
		}
		for _, n := range r.nodes {
			for _, c := range n.calls {
				set := c.ret.firsts
				if c.ret.ends {
					set.union(&r.follow)
				}
				switch {
				case c.rule != nil:
					spread(c.rule, set)
				case terms[c.term.dfa] == nil:
					terms[c.term.dfa] = &set
				default:
					terms[c.term.dfa].union(&set)
				}
			}
			if n.loop != nil {
				set := r.follow
				set.union(&n.loop.body.first)
				spread(n.loop.body, set)
			}
		}
	})
	for d, set := range terms {
		if !d.shared {
			d.follow = *set
		}
	}
}

// firsts finds the bytes that may come first from each place.
func (b *builder) firsts() {
	callers := b.callers()
	b.settle(func(r *rule, again func(*rule)) {
		for changed := true; changed && b.pass(r); {
			changed = false
			for _, n := range slices.Backward(r.nodes) {
				was := n.firsts
				n.findFirsts()
				changed = changed || n.firsts != was
			}
		}
		if r.start.firsts != r.first {
			r.first = r.start.firsts
			for _, c := range callers[r] {
				again(c)
			}
		}
	})
}

// findFirsts adds the bytes that may come first from a place, by what is known of those behind it.
func (n *node) findFirsts() {
	n.firsts.union(&n.first)
	for _, to := range n.eps {
		n.firsts.union(&to.firsts)
	}
	if n.loop != nil {
		n.firsts.union(&n.loop.body.first)
	}
	for i := range n.calls {
		c := &n.calls[i]
		c.addFirst(&n.firsts)
		if c.nullable() {
			n.firsts.union(&c.ret.firsts)
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

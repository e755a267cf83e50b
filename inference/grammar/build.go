package grammar

// builder turns rules into nodes.
type builder struct {
	rules []*rule
	terms map[*terminal]bool
	nodes int
	work  int // steps of the analysis
	limit *budget
	err   error
}

// fail keeps the first error.
func (b *builder) fail(err error) {
	if b.err == nil && err != nil {
		b.err = err
	}
}

func (b *builder) node(r *rule) *node {
	if b.nodes++; b.nodes > maxNodes {
		b.fail(errorf("the constraint needs more than %d places", maxNodes))
	}
	n := &node{}
	r.nodes = append(r.nodes, n)
	return n
}

// rule builds a rule and all that it refers to.
func (b *builder) rule(r *rule) {
	pending := []*rule{r}
	for len(pending) > 0 && b.err == nil {
		r := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if r.built {
			continue
		}
		r.built = true
		if b.rules = append(b.rules, r); len(b.rules) > maxRules {
			b.fail(errorf("the constraint needs more than %d rules", maxRules))
			return
		}
		r.start = b.node(r)
		end := b.expr(r, r.start, r.body)
		end.accepts = true
		for _, n := range r.nodes {
			for _, c := range n.calls {
				if c.rule != nil && !c.rule.built {
					pending = append(pending, c.rule)
				}
			}
			if n.loop != nil && !n.loop.body.built {
				pending = append(pending, n.loop.body)
			}
		}
	}
}

// expr appends an expression behind a node and returns the node behind it.
func (b *builder) expr(r *rule, from *node, e expr) *node {
	if b.fail(b.limit.spend(1)); b.err != nil { // what is empty makes no node, and may be repeated any number of times
		return from
	}
	switch e := e.(type) {
	case literal:
		for i := range len(e) {
			to := b.node(r)
			from.edges = append(from.edges, edge{e[i], e[i], to})
			from = to
		}
		return from
	case class:
		return b.class(r, from, e)
	case sequence:
		for _, sub := range e {
			from = b.expr(r, from, sub)
		}
		return from
	case choice:
		ends := make([]*node, 0, len(e))
		for _, sub := range e {
			in := b.node(r)
			from.eps = append(from.eps, in)
			ends = append(ends, b.expr(r, in, sub))
		}
		to := b.node(r) // behind what leads there: the analysis goes backwards
		for _, out := range ends {
			out.eps = append(out.eps, to)
		}
		return to
	case reference:
		to := b.node(r)
		from.calls = append(from.calls, call{rule: e.rule, ret: to})
		return to
	case token:
		if !b.terms[e.terminal] {
			e.id = int32(len(b.terms))
			b.terms[e.terminal] = true
		}
		to := b.node(r)
		from.calls = append(from.calls, call{term: e.terminal, ret: to})
		return to
	case repeated:
		return b.repeated(r, from, e)
	case counted:
		from.loop = &loop{body: e.body, min: e.min, max: e.max}
	}
	return b.node(r) // which cannot be reached
}

// class appends a character of some ranges.
func (b *builder) class(r *rule, from *node, e class) *node {
	n := &nfa{budget: b.limit}
	begin, err := n.state()
	b.fail(err)
	end, err := n.state()
	b.fail(err)
	b.fail(n.runes(begin, end, e))
	return b.automaton(r, from, n, begin, end)
}

// automaton copies the states of an automaton without steps that take no byte.
func (b *builder) automaton(r *rule, from *node, n *nfa, begin, end int32) *node {
	places := make([]*node, len(n.states))
	places[begin] = b.node(r)
	from.eps = append(from.eps, places[begin])
	for s := range n.states {
		if places[s] == nil && int32(s) != end {
			places[s] = b.node(r)
		}
	}
	places[end] = b.node(r) // behind what leads there
	for s, state := range n.states {
		for _, x := range state.ranges {
			places[s].edges = append(places[s].edges, edge{x.lo, x.hi, places[x.to]})
		}
	}
	return places[end]
}

// spelled is up to how many repetitions a rule writes out; more are counted.
const spelled = 4

func (b *builder) repeated(r *rule, from *node, e repeated) *node {
	switch {
	case e.max >= 0 && e.max < e.min:
		return b.node(r)
	case e.min > maxRepeat || e.max > maxRepeat:
		b.fail(errorf("a repetition counts beyond %d", maxRepeat))
		return from
	case e.max < 0 && e.min <= 1:
		in := b.node(r)
		from.eps = append(from.eps, in)
		out := b.expr(r, in, e.of)
		to := b.node(r)
		out.eps = append(out.eps, in, to)
		if e.min == 0 {
			in.eps = append(in.eps, to)
		}
		return to
	case max(e.min, e.max) > spelled:
		body := &rule{name: r.name + " repeated", body: e.of}
		counter := &rule{name: r.name + " counted", body: counted{body, int32(e.min), int32(e.max)}}
		to := b.node(r)
		from.calls = append(from.calls, call{rule: counter, ret: to})
		return to
	}
	for range e.min {
		from = b.expr(r, from, e.of)
	}
	if e.max < 0 {
		return b.repeated(r, from, repeated{e.of, 0, -1})
	}
	to := b.node(r)
	for range e.max - e.min {
		from.eps = append(from.eps, to)
		from = b.expr(r, from, e.of)
	}
	from.eps = append(from.eps, to)
	return to
}

package grammar

import "slices"

// leftRecursion frees the grammar of rules that begin with themselves, which a recogniser that goes down from the top
// would follow forever. A set of rules that begin with each other is read from the bottom instead: the text begins with
// the beginning of some rule of the set that is none of them; where a rule of the set is complete, every rule that
// begins with it goes on behind it. For each rule of the set there is a copy of the places of all that ends where that
// rule is complete. The texts are the same.
func (b *builder) leftRecursion() error {
	left := map[*rule][]*rule{}
	for _, r := range b.rules {
		left[r] = b.beginnings(r)
	}
	copies := 0
	for _, set := range components(b.rules, left) {
		if len(set) == 1 && !slices.Contains(left[set[0]], set[0]) {
			continue
		}
		if copies += len(set) * len(set); copies > maxLeftInlines {
			return errorf("rules that begin with each other need more than %d copies", maxLeftInlines)
		}
		starts := make([]*node, len(set))
		for i, r := range set {
			start, err := b.bottomUp(set, r)
			if err != nil {
				return err
			}
			starts[i] = start
		}
		for i, r := range set {
			r.start = starts[i]
			r.nodes = reachable(r.start)
			r.size = 0
			r.nullable = false
		}
		if b.err != nil {
			return b.err
		}
	}
	return nil
}

// opening is what a rule may begin with: its places before the first byte. Those of after come behind a call that may be
// empty.
func opening(r *rule) (places []*node, after map[*node]bool) {
	after = map[*node]bool{}
	seen := map[*node]bool{}
	type item struct {
		n     *node
		after bool
	}
	stack := []item{{r.start, false}}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[at.n] && (!at.after || after[at.n]) {
			continue
		}
		if !seen[at.n] {
			places = append(places, at.n)
		}
		seen[at.n] = true
		after[at.n] = after[at.n] || at.after
		for _, to := range at.n.eps {
			stack = append(stack, item{to, at.after})
		}
		for i := range at.n.calls {
			if c := &at.n.calls[i]; c.nullable() {
				stack = append(stack, item{c.ret, true})
			}
		}
	}
	return places, after
}

// beginnings is the rules that a rule may call before the first byte.
func (b *builder) beginnings(r *rule) []*rule {
	var out []*rule
	places, _ := opening(r)
	for _, n := range places {
		for _, c := range n.calls {
			if c.rule != nil {
				out = append(out, c.rule)
			}
		}
		if n.loop != nil {
			out = append(out, n.loop.body)
		}
	}
	return out
}

// bottomUp makes the places that read goal, a rule of a set that begin with each other.
func (b *builder) bottomUp(set []*rule, goal *rule) (*node, error) {
	a := &ascent{
		b: b, set: set, holder: &rule{},
		copied: map[*node]*node{}, behind: map[*rule]*node{}, owner: map[*node]*rule{}, begun: map[*rule][]*node{},
	}
	a.start = b.node(a.holder)
	for _, r := range set {
		a.behind[r] = b.node(a.holder)
		for _, n := range r.nodes {
			a.owner[n] = r
		}
	}
	a.behind[goal].accepts = true
	for _, r := range set {
		if err := a.begin(r); err != nil {
			return nil, err
		}
	}
	if err := a.copyAll(); err != nil {
		return nil, err
	}
	for _, r := range set {
		for _, n := range a.begun[r] {
			a.behind[r].eps = append(a.behind[r].eps, a.copyOf(n))
		}
	}
	return a.start, nil
}

// ascent is the places that read a rule of a set from the bottom.
type ascent struct {
	b      *builder
	set    []*rule
	holder *rule // of the places

	start  *node             // where the text begins
	behind map[*rule]*node   // where a rule of the set is complete
	begun  map[*rule][]*node // where the rules of the set go on that begin with a rule of it
	owner  map[*node]*rule   // of the set's places: its copy ends at the rule's behind
	copied map[*node]*node
	queue  []*node // copied, but not yet what leads on from them
}

// copyOf is the copy of a place.
func (a *ascent) copyOf(n *node) *node {
	if c := a.copied[n]; c != nil {
		return c
	}
	c := a.b.node(a.holder)
	a.copied[n] = c
	a.queue = append(a.queue, n)
	return c
}

// begin lets the text begin as a rule of the set does, where that is no rule of the set.
func (a *ascent) begin(r *rule) error {
	places, after := opening(r)
	for _, n := range places {
		if n.loop != nil {
			return errorf("a rule begins with itself within a counted repetition")
		}
		for _, e := range n.edges {
			a.start.edges = append(a.start.edges, edge{e.lo, e.hi, a.copyOf(e.to)})
		}
		if n.accepts {
			a.start.eps = append(a.start.eps, a.behind[r])
		}
		for _, c := range n.calls {
			if c.rule == nil || !slices.Contains(a.set, c.rule) {
				a.start.calls = append(a.start.calls, call{rule: c.rule, term: c.term, ret: a.copyOf(c.ret)})
				continue
			}
			if after[n] {
				return errorf("a rule begins with itself behind something that may be empty")
			}
			a.begun[c.rule] = append(a.begun[c.rule], c.ret)
			a.copyOf(c.ret)
		}
	}
	return nil
}

// copyAll copies what leads on from the places that were copied.
func (a *ascent) copyAll() error {
	for len(a.queue) > 0 {
		n := a.queue[0]
		a.queue = a.queue[1:]
		c := a.copied[n]
		for _, e := range n.edges {
			c.edges = append(c.edges, edge{e.lo, e.hi, a.copyOf(e.to)})
		}
		for _, to := range n.eps {
			c.eps = append(c.eps, a.copyOf(to))
		}
		for _, x := range n.calls {
			c.calls = append(c.calls, call{rule: x.rule, term: x.term, ret: a.copyOf(x.ret)})
		}
		c.loop = n.loop
		if n.accepts {
			c.eps = append(c.eps, a.behind[a.owner[n]])
		}
		if a.b.err != nil {
			return a.b.err
		}
	}
	return nil
}

// reachable is the places that a place leads to within its rule.
func reachable(start *node) []*node {
	seen := map[*node]bool{start: true}
	list := []*node{start}
	visit := func(n *node) {
		if !seen[n] {
			seen[n] = true
			list = append(list, n)
		}
	}
	for i := 0; i < len(list); i++ { //nolint:intrange // the list grows
		n := list[i]
		for _, e := range n.edges {
			visit(e.to)
		}
		for _, to := range n.eps {
			visit(to)
		}
		for _, c := range n.calls {
			visit(c.ret)
		}
	}
	return list
}

// components is the sets of rules that lead to each other (Tarjan's algorithm, without recursion).
//
//nolint:gocognit // the algorithm as it is known
func components(rules []*rule, to map[*rule][]*rule) [][]*rule {
	index, low := map[*rule]int{}, map[*rule]int{}
	on := map[*rule]bool{}
	var stack []*rule
	var out [][]*rule
	type frame struct {
		r    *rule
		next int
	}
	for _, root := range rules {
		if _, seen := index[root]; seen {
			continue
		}
		work := []frame{{r: root}}
		for len(work) > 0 {
			f := &work[len(work)-1]
			r := f.r
			if f.next == 0 {
				index[r] = len(index) + 1
				low[r] = index[r]
				stack = append(stack, r)
				on[r] = true
			}
			pushed := false
			for f.next < len(to[r]) {
				w := to[r][f.next]
				f.next++
				if _, seen := index[w]; !seen {
					work = append(work, frame{r: w})
					pushed = true
					break
				}
				if on[w] {
					low[r] = min(low[r], index[w])
				}
			}
			if pushed {
				continue
			}
			if low[r] == index[r] {
				var set []*rule
				for {
					w := stack[len(stack)-1]
					stack = stack[:len(stack)-1]
					on[w] = false
					set = append(set, w)
					if w == r {
						break
					}
				}
				out = append(out, set)
			}
			work = work[:len(work)-1]
			if len(work) > 0 {
				parent := work[len(work)-1].r
				low[parent] = min(low[parent], low[r])
			}
		}
	}
	return out
}
